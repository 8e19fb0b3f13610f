#!/usr/bin/env bash
# Gives the canary its traffic, step by step, as long as it is as good as the stable version.
. "$(dirname "$0")/release.sh"

read_release || die "nothing is installed as $RELEASE in $NAMESPACE: run jenkins/deploy.sh first"
need_deployed
read -r service stable canary < <(release_py leftover --release "$out/release.json") || {
  say 'there is no canary: this build is all that is installed'
  exit
}
need_gate
# A step lasts a window and up to CANARY_LIMIT, if the requests are few; CANARY_SETTLE is from a weight to the first count.
controller run "$service" "$stable" --canary "$canary" --prometheus "$PROMETHEUS_URL" \
  --steps "$CANARY_STEPS" --window "${CANARY_WINDOW:-60s}" --min-requests "${CANARY_MIN_REQUESTS:-100}" \
  ${CANARY_LIMIT:+--limit "$CANARY_LIMIT"} ${CANARY_SETTLE:+--settle "$CANARY_SETTLE"}
