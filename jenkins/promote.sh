#!/usr/bin/env bash
# Promotes a canary that receives all traffic: every workload gets the build, traffic goes back to the stable version,
# which runs the same build by then, and the canary is removed.
. "$(dirname "$0")/release.sh"

read_version
read_release || die "release $RELEASE not found in $NAMESPACE; run jenkins/deploy.sh first"
require_deployed
read -r service stable _ < <(release_values canaries --release "$out/release.json") || {
  log 'the release has no canary, so there is nothing to promote'
  exit
}
write_values promote --digests "$out/digests.json"
upgrade
route_to_stable "$service" "$stable"
read_release
write_values without-canary
upgrade
rm -f "$out/canary"
log "$TAG is promoted: every workload of $RELEASE runs it"
