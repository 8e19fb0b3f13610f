# Functions for all scripts of the pipeline. Each stage is one script or one make target, so a person can run it too.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=build/pipeline      # what a stage leaves for later stages
reports=build/reports   # what Jenkins publishes
mkdir -p "$out" "$reports" build/coverage

step=$(basename "$0" .sh)
log() { printf '%s: %s\n' "$step" "$*"; }
die() { printf '%s: %s\n' "$step" "$1" >&2; exit "${2:-1}"; } # die MESSAGE [EXIT-CODE]

require() { # require COMMAND WHAT-TO-DO
  command -v "$1" >/dev/null 2>&1 || die "no $1 on PATH; $2"
}

require_python() {
  [[ -x .venv/bin/python ]] || die '.venv not found; run jenkins/setup.sh first'
}

# An empty parameter of a build has the value of Jenkins' own environment, which is the same for all jobs.
for name in REGISTRY NAMESPACE VALUES PROMETHEUS_URL NOTIFY_URL; do
  jenkins_name=BOOKINFO_$name
  [[ -n ${!name:-} ]] || printf -v "$name" %s "${!jenkins_name:-}"
done
[[ -z $REGISTRY || $REGISTRY == */ ]] || REGISTRY=$REGISTRY/
export REGISTRY

require_registry() {
  [[ -n $REGISTRY ]] || die 'REGISTRY is empty; set it to a registry and path such as registry.example/bookinfo/'
}

# Sets COMMIT, TAG and IS_MAIN to what version.sh recorded.
read_version() {
  [[ -f $out/version.env ]] || die "$out/version.env not found; run jenkins/version.sh first"
  # shellcheck source=/dev/null
  . "$out/version.env"
  export COMMIT TAG IS_MAIN
}
