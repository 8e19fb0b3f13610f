#!/usr/bin/env bash
# Lists what is in the images, in build/sbom, and asks whether a locked package has a known vulnerability.
# AUDIT=report tells what the audit found without failing, where nobody who answers has advisory data.
. "$(dirname "$0")/lib.sh"

read_version
# A variant's packages are its service's, so one of each group is enough.
[[ -z ${BUILDKIT_HOST:-} ]] || export ARCHIVES=build/images
make sbom IMAGES="${IMAGES:-$(python3 jenkins/bake_groups.py --first | tr '\n' ' ')}"
if [[ ${AUDIT:-enforce} == report ]]; then
  make audit || say 'the audit does not count here (AUDIT=report)'
else
  make audit
fi
