# Functions for the scripts that roll out: the release's values, Helm and the canary controller.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NAMESPACE=${NAMESPACE:-bookinfo}
RELEASE=${RELEASE:-bookinfo}
CANARY_SERVICE=${CANARY_SERVICE:-reviews}
VALUES=${VALUES:-jenkins/release.yaml}
TIMEOUT=${ROLLOUT_TIMEOUT:-5m}

require_python
require kubectl 'install it'
require helm 'install Helm 4 or 3.17, or use the one that .venv/bin/python charts/tools/helm.py prints'

files=()
for file in $VALUES; do
  [[ -f $file ]] || die "file $file of VALUES not found in this checkout"
  files+=(--values "$file")
done

release_values() { .venv/bin/python jenkins/release.py "$@" "${files[@]}"; }

# A signal reaches all processes of a step. Helm and the controller then roll back by themselves. The script waits for
# them, so that rollback.sh does not run at the same time.
trap 'exit 143' TERM
trap 'exit 129' HUP

# Checks the settings of the gate. This happens before anything is installed that a rollback would have to remove.
require_gate() {
  [[ -n ${PROMETHEUS_URL:-} ]] || die 'PROMETHEUS_URL is empty; the gate between the steps reads its metrics there'
  CANARY_STEPS=${CANARY_STEPS:-10,25,50,100}
  [[ $CANARY_STEPS =~ ^([1-9][0-9]?,)+100$ && $CANARY_STEPS == "$(tr , '\n' <<<"$CANARY_STEPS" | sort -nu | paste -sd ,)" ]] ||
    die "invalid CANARY_STEPS $CANARY_STEPS; use rising percentages that end with 100, such as 10,25,50,100"
}

# Fails if the release does not exist. Otherwise sets `status` to that of the last revision and `deployed` to the last
# revision that Helm installed completely, if there is one, and writes the values of that revision to $out/release.json.
read_release() {
  local output
  : >"$out/release.json"
  if ! output=$(helm history "$RELEASE" --namespace "$NAMESPACE" --output json 2>&1 >"$out/history.json"); then
    [[ $output != *'not found'* ]] || return 1
    die "helm cannot read $RELEASE in $NAMESPACE: ${output##*$'\n'}"
  fi
  read -r status deployed < <(python3 -c '
import json, sys
history = json.load(sys.stdin)
print(history[-1]["status"], *[entry["revision"] for entry in history if entry["status"] == "deployed"][-1:])
' <"$out/history.json") || die "helm reports no history of $RELEASE in $NAMESPACE"
  output=$(helm get values "$RELEASE" --namespace "$NAMESPACE" ${deployed:+--revision "$deployed"} --output json \
    2>&1 >"$out/release.json") || die "helm cannot read $RELEASE in $NAMESPACE: ${output##*$'\n'}"
}

# Fails if the last revision is pending or failed. Helm would reject the next upgrade, or compare it with a failed one.
require_deployed() {
  [[ $status == deployed ]] ||
    die "$RELEASE in $NAMESPACE is $status; wait for the upgrade to end, or undo it with jenkins/rollback.sh all"
}

# Undoes an upgrade that did not end. Helm rejects every other upgrade while one is pending, and a killed one stays
# pending forever. A stopped upgrade fails first and then rolls back by itself, for which it has PENDING_SECONDS.
# Fails if there is nothing to undo.
undo_pending() {
  local until=$((SECONDS + ${PENDING_SECONDS:-300}))
  read_release || return 0
  [[ $status != deployed ]] || return 1
  log "$RELEASE in $NAMESPACE is $status; waiting until it ends, then undoing it"
  while [[ $status != deployed ]]; do
    if ((SECONDS >= until)); then
      [[ -n $deployed ]] ||
        die "the first installation of $RELEASE was interrupted; run helm uninstall $RELEASE --namespace $NAMESPACE, then try again"
      helm rollback "$RELEASE" "$deployed" --namespace "$NAMESPACE" --wait --timeout "$TIMEOUT" >"$out/helm.log" 2>&1 && return
      cat "$out/helm.log" >&2
      die "$RELEASE in $NAMESPACE is $status, and the rollback to revision $deployed failed; the reason is above"
    fi
    sleep 2
    read_release || return 0 # The rollback of a first installation removes the release.
  done
}

# write_values ACTION...: writes the values that the pipeline owns to $out/values.json.
write_values() { release_values "$@" --release "$out/release.json" >"$out/values.json" || exit; }

# Upgrades the release (the arguments are further ones of Helm) and waits for every pod. Helm rolls back if one fails.
# shellcheck disable=SC2120
upgrade() {
  local rollback=--rollback-on-failure
  [[ $(helm version --template '{{.Version}}') != v3.* ]] || rollback=--atomic
  helm upgrade "$RELEASE" charts/bookinfo --namespace "$NAMESPACE" "${files[@]}" --values "$out/values.json" \
    --wait "$rollback" --timeout "$TIMEOUT" "$@" >"$out/helm.log" 2>&1 && return
  cat "$out/helm.log" >&2
  die "the upgrade of $RELEASE in $NAMESPACE failed and was rolled back; the reason is above"
}

controller() { # controller COMMAND SERVICE STABLE ...
  local command=$1 service=$2 stable=$3
  shift 3
  "${BOOKINFO_CANARY:-.venv/bin/bookinfo-canary}" "$command" --target kubectl --namespace "$NAMESPACE" \
    --service "$service" --stable "$stable" "$@"
}

route_to_stable() { controller rollback "$@"; }
