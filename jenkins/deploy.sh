#!/usr/bin/env bash
# Installs the build. The first build is installed completely. A later build adds its image of CANARY_SERVICE as a new
# version of that service, with weight 0, and changes nothing else. canary.sh then routes traffic to it. A canary of an
# interrupted run is removed first.
. "$(dirname "$0")/release.sh"

require_registry
read_version
[[ -f $out/digests.json ]] || die "$out/digests.json not found; run jenkins/push.sh first"

if ! read_release; then
  log "installing $RELEASE in $NAMESPACE for the first time"
  write_values install --digests "$out/digests.json" --registry "$REGISTRY"
  upgrade --install
  exit
fi

require_gate
jenkins/rollback.sh all
read_release ||
  die "release $RELEASE not found in $NAMESPACE, because an interrupted installation was undone; run jenkins/deploy.sh again"
stable=$(release_values stable --service "$CANARY_SERVICE")
canary=$stable-${COMMIT:0:12}
write_values canary --digests "$out/digests.json" --registry "$REGISTRY" --service "$CANARY_SERVICE" --commit "$COMMIT"
touch "$out/canary" # for rollback.sh: this build has a canary
# The route comes before the canary's pods. Without a route the Service would send them a share of the traffic.
route_to_stable "$CANARY_SERVICE" "$stable"
upgrade
log "$CANARY_SERVICE-$canary is running with weight 0"
