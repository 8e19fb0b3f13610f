# What the scripts of a rollout share: the release's values, Helm and the canary controller.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NAMESPACE=${NAMESPACE:-bookinfo}
RELEASE=${RELEASE:-bookinfo}
CANARY_SERVICE=${CANARY_SERVICE:-reviews}
VALUES=${VALUES:-jenkins/release.yaml}
TIMEOUT=${ROLLOUT_TIMEOUT:-5m}

need_python
need kubectl 'install it'
need helm 'install Helm 4 or 3.17, or take the one that .venv/bin/python charts/tools/helm.py prints'

files=()
for file in $VALUES; do
  [[ -f $file ]] || die "VALUES names $file, which is no file of this checkout"
  files+=(--values "$file")
done

release_py() { .venv/bin/python jenkins/release.py "$@" "${files[@]}"; }

# A signal is for all processes of a step. Helm and the controller then go back by themselves, and are waited for: who
# comes next, rollback.sh, would meet them half-way.
trap 'exit 143' TERM
trap 'exit 129' HUP

# What the gate between the steps goes by, looked at before anything is installed that would have to go again.
need_gate() {
  [[ -n ${PROMETHEUS_URL:-} ]] || die 'PROMETHEUS_URL is empty: the gate between the steps reads its metrics there'
  CANARY_STEPS=${CANARY_STEPS:-10,25,50,100}
  [[ $CANARY_STEPS =~ ^([1-9][0-9]?,)+100$ && $CANARY_STEPS == "$(tr , '\n' <<<"$CANARY_STEPS" | sort -nu | paste -sd ,)" ]] ||
    die "CANARY_STEPS is $CANARY_STEPS: write percentages that rise to 100, such as 10,25,50,100"
}

# Whether the release is there. `status` is then that of its last revision, `deployed` the revision that Helm installed as a
# whole, if there is one, and that one's values are in $out/release.json: a later one is pending or failed.
read_release() {
  local words
  : >"$out/release.json"
  if ! words=$(helm history "$RELEASE" --namespace "$NAMESPACE" --output json 2>&1 >"$out/history.json"); then
    [[ $words != *'not found'* ]] || return 1
    die "helm cannot read $RELEASE in $NAMESPACE: ${words##*$'\n'}"
  fi
  read -r status deployed < <(python3 -c '
import json, sys
history = json.load(sys.stdin)
print(history[-1]["status"], *[entry["revision"] for entry in history if entry["status"] == "deployed"][-1:])
' <"$out/history.json") || die "helm tells no history of $RELEASE in $NAMESPACE"
  words=$(helm get values "$RELEASE" --namespace "$NAMESPACE" ${deployed:+--revision "$deployed"} --output json \
    2>&1 >"$out/release.json") || die "helm cannot read $RELEASE in $NAMESPACE: ${words##*$'\n'}"
}

# Stops where what is deployed is not what will be: Helm would refuse the next upgrade too, or judge it by a failed one.
need_deployed() {
  [[ $status == deployed ]] ||
    die "$RELEASE in $NAMESPACE is $status: wait for whoever upgrades it, or undo it with jenkins/rollback.sh all"
}

# Undoes an upgrade that did not end: Helm refuses every other one while it is pending, for ever if it was killed. One
# that was told to stop is failed for a moment and then goes back by itself, which it is given PENDING_SECONDS for.
# Fails where there is nothing to undo.
undo_pending() {
  local until=$((SECONDS + ${PENDING_SECONDS:-300}))
  read_release || return 0
  [[ $status != deployed ]] || return 1
  say "$RELEASE in $NAMESPACE is $status: waiting for it, and then undoing it"
  while [[ $status != deployed ]]; do
    if ((SECONDS >= until)); then
      [[ -n $deployed ]] || die "the first install of $RELEASE was interrupted: helm uninstall $RELEASE --namespace $NAMESPACE, and again"
      helm rollback "$RELEASE" "$deployed" --namespace "$NAMESPACE" --wait --timeout "$TIMEOUT" >"$out/helm.log" 2>&1 && return
      cat "$out/helm.log" >&2
      die "$RELEASE in $NAMESPACE is $status, and could not be taken back to its revision $deployed: see above"
    fi
    sleep 2
    read_release || return 0 # a first install goes back to nothing
  done
}

# values ACTION...: what the pipeline owns, into $out/values.json.
values() { release_py "$@" --release "$out/release.json" >"$out/values.json" || exit; }

# One upgrade (its arguments are more of Helm's), which waits for every pod; if one does not come up, Helm goes back.
# shellcheck disable=SC2120
upgrade() {
  local rollback=--rollback-on-failure
  [[ $(helm version --template '{{.Version}}') != v3.* ]] || rollback=--atomic
  helm upgrade "$RELEASE" charts/bookinfo --namespace "$NAMESPACE" "${files[@]}" --values "$out/values.json" \
    --wait "$rollback" --timeout "$TIMEOUT" "$@" >"$out/helm.log" 2>&1 && return
  cat "$out/helm.log" >&2
  die "$RELEASE in $NAMESPACE is as it was: see above"
}

controller() { # controller COMMAND SERVICE STABLE ...
  local command=$1 service=$2 stable=$3
  shift 3
  "${BOOKINFO_CANARY:-.venv/bin/bookinfo-canary}" "$command" --target kubectl --namespace "$NAMESPACE" \
    --service "$service" --stable "$stable" "$@"
}

route_to_stable() { controller rollback "$@"; }
