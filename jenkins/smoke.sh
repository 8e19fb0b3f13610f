#!/usr/bin/env bash
# Tests the installed release with `helm test`. Its pods call every service, and the page through the gateway.
. "$(dirname "$0")/release.sh"

helm test "$RELEASE" --namespace "$NAMESPACE" --timeout "$TIMEOUT" && exit
# Helm deletes the pods of passed tests and keeps those of failed ones.
kubectl logs --namespace "$NAMESPACE" --selector app=bookinfo-test --prefix --tail 20 >&2 || true
die "a test of $RELEASE in $NAMESPACE failed; the reason is above"
