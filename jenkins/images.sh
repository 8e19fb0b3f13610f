#!/usr/bin/env bash
# Builds images of docker-bake.json with the build's tag: images.sh [GROUP...]. A group is a service or `envoy`. The
# default is all groups.
# BuildKit builds them if BUILDKIT_HOST is set, which may be rootless, and writes each image to build/images. Otherwise
# Docker builds them.
. "$(dirname "$0")/lib.sh"

require docker 'install it; with BUILDKIT_HOST only its client and buildx are used'
read_version
names=$(python3 jenkins/bake_groups.py "$@") || exit 2
# shellcheck disable=SC2086  # names contain no blanks
set -- $names

if [[ -n ${BUILDKIT_HOST:-} ]]; then
  mkdir -p build/images
  outputs=()
  for name; do outputs+=(--set "$name.output=type=docker,dest=build/images/$name.tar"); done
  REVISION=$COMMIT docker buildx bake --file docker-bake.json --builder "$(jenkins/builder.sh)" \
    --provenance=false --set "*.platform=${PLATFORM:-linux/amd64}" "${outputs[@]}" "$@"
else
  # Without BuildKit, concurrent builds would each build the layers that they share.
  exec 9>"$out/images.lock"
  flock 9
  make images IMAGES="$*"
fi
