#!/usr/bin/env bash
# Proves what is installed: `helm test`, whose pods call every service, and the page through the gateway.
. "$(dirname "$0")/release.sh"

helm test "$RELEASE" --namespace "$NAMESPACE" --timeout "$TIMEOUT" && exit
# What succeeded is gone, what failed is there to be read.
kubectl logs --namespace "$NAMESPACE" --selector app=bookinfo-test --prefix --tail 20 >&2 || true
die "a test of $RELEASE in $NAMESPACE failed: see above"
