#!/usr/bin/env bash
# Makes a canary that has all the traffic the one build: everything else gets it too, then traffic goes back to the
# stable version, which is the same by then, and the canary goes.
. "$(dirname "$0")/release.sh"

read_version
read_release || die "nothing is installed as $RELEASE in $NAMESPACE: run jenkins/deploy.sh first"
need_deployed
read -r service stable _ < <(release_py leftover --release "$out/release.json") || {
  say 'there is no canary: nothing to promote'
  exit
}
values promote --digests "$out/digests.json"
upgrade
route_to_stable "$service" "$stable"
read_release
values settle
upgrade
rm -f "$out/canary"
say "$TAG is promoted: every workload of $RELEASE runs it"
