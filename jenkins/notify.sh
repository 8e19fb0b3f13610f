#!/usr/bin/env bash
# Sends the result of the build to a webhook: notify.sh RESULT. NOTIFY_URL is the webhook; without it the script does
# nothing. A webhook that fails never fails the build.
. "$(dirname "$0")/lib.sh"

result=${1:-}
[[ -n $result ]] || die 'missing result; use for example: jenkins/notify.sh SUCCESS' 2
[[ -n ${NOTIFY_URL:-} ]] || { log 'no notification, because NOTIFY_URL is empty'; exit; }
text="${JOB_NAME:-bookinfo} ${BUILD_NUMBER:-}: $result ${BUILD_URL:-}"
body=$(python3 -c 'import json, sys; print(json.dumps({"text": sys.argv[1]}))' "$text")
curl --silent --show-error --fail --max-time 10 --header 'Content-Type: application/json' --data "$body" "$NOTIFY_URL" \
  >/dev/null || log 'the webhook failed'
