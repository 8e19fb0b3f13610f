#!/usr/bin/env bash
# Prints the name of the buildx builder for BUILDKIT_HOST, and creates it if it does not exist.
. "$(dirname "$0")/lib.sh"

[[ -n ${BUILDKIT_HOST:-} ]] || die 'BUILDKIT_HOST is empty; set it to an address such as tcp://localhost:1234'
docker buildx version >/dev/null 2>&1 || die 'docker has no buildx; install the plugin docker-buildx'
exec 9>"$out/builder.lock"
flock 9
docker buildx inspect bookinfo >/dev/null 2>&1 ||
  docker buildx create --name bookinfo --driver remote "$BUILDKIT_HOST" >/dev/null
echo bookinfo
