#!/usr/bin/env bash
# Runs the canary controller, which shifts traffic to the canary in steps while it is as good as the stable version.
. "$(dirname "$0")/release.sh"

read_release || die "release $RELEASE not found in $NAMESPACE; run jenkins/deploy.sh first"
require_deployed
read -r service stable canary < <(release_values canaries --release "$out/release.json") || {
  log 'the release has no canary, because it is the first one'
  exit
}
require_gate
# A step lasts one window, or up to CANARY_LIMIT if there are few requests. CANARY_SETTLE is the time between a new
# weight and the first reading of the metrics.
controller run "$service" "$stable" --canary "$canary" --prometheus "$PROMETHEUS_URL" \
  --steps "$CANARY_STEPS" --window "${CANARY_WINDOW:-60s}" --min-requests "${CANARY_MIN_REQUESTS:-100}" \
  ${CANARY_LIMIT:+--limit "$CANARY_LIMIT"} ${CANARY_SETTLE:+--settle "$CANARY_SETTLE"}
