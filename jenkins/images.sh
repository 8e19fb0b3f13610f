#!/usr/bin/env bash
# Builds images of docker-bake.json with the build's tag: images.sh GROUP..., a group being a service or `envoy`; none: all.
# With BUILDKIT_HOST by that BuildKit, which may be rootless, and each image is left in build/images; otherwise by Docker.
. "$(dirname "$0")/lib.sh"

need docker 'install it; with BUILDKIT_HOST only its client and buildx are used'
read_version
names=$(python3 jenkins/bake_groups.py "$@") || exit 2
# shellcheck disable=SC2086  # names have no blanks
set -- $names

if [[ -n ${BUILDKIT_HOST:-} ]]; then
  mkdir -p build/images
  outputs=()
  for name; do outputs+=(--set "$name.output=type=docker,dest=build/images/$name.tar"); done
  REVISION=$COMMIT docker buildx bake --file docker-bake.json --builder "$(jenkins/builder.sh)" \
    --provenance=false --set "*.platform=${PLATFORM:-linux/amd64}" "${outputs[@]}" "$@"
else
  # Without BuildKit several builds at once would each make the layers that they share.
  exec 9>"$out/images.lock"
  flock 9
  make images IMAGES="$*"
fi
