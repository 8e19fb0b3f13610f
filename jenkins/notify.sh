#!/usr/bin/env bash
# Tells a webhook how the build ended: notify.sh RESULT. Without NOTIFY_URL nobody is told, and a webhook that does not
# answer never fails a build.
. "$(dirname "$0")/lib.sh"

result=${1:-}
[[ -n $result ]] || die 'which result? such as: jenkins/notify.sh SUCCESS' 2
[[ -n ${NOTIFY_URL:-} ]] || { say 'nobody to tell (NOTIFY_URL is empty)'; exit; }
text="${JOB_NAME:-bookinfo} ${BUILD_NUMBER:-}: $result ${BUILD_URL:-}"
body=$(python3 -c 'import json, sys; print(json.dumps({"text": sys.argv[1]}))' "$text")
curl --silent --show-error --fail --max-time 10 --header 'Content-Type: application/json' --data "$body" "$NOTIFY_URL" \
  >/dev/null || say 'the webhook did not take it'
