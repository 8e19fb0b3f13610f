#!/usr/bin/env bash
# Installs the build. The first time: all of it. Later: its image of CANARY_SERVICE as one more version of that service,
# at weight 0 and with everything else as it was; canary.sh gives it traffic. A canary that an interrupted run left goes
# first.
. "$(dirname "$0")/release.sh"

need_registry
read_version
[[ -f $out/digests.json ]] || die "there is no $out/digests.json: run jenkins/push.sh first"

if ! read_release; then
  say "nothing is installed as $RELEASE in $NAMESPACE: this is the first"
  values install --digests "$out/digests.json" --registry "$REGISTRY"
  upgrade --install
  exit
fi

need_gate
jenkins/rollback.sh all
read_release || die "$RELEASE is gone from $NAMESPACE since an interrupted install was undone: run jenkins/deploy.sh again"
stable=$(release_py stable --service "$CANARY_SERVICE")
canary=$stable-${COMMIT:0:12}
values canary --digests "$out/digests.json" --registry "$REGISTRY" --service "$CANARY_SERVICE" --commit "$COMMIT"
touch "$out/canary" # from here on rollback.sh has something to do
# Before there is a pod of the canary: without a route its Service would send it a share of the traffic.
route_to_stable "$CANARY_SERVICE" "$stable"
upgrade
say "$CANARY_SERVICE-$canary runs, at weight 0"
