# What the pipeline's scripts share. Each stage is one script or one make target, so that a person can do the same.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=build/pipeline      # what one stage leaves for the next
reports=build/reports   # what Jenkins publishes
mkdir -p "$out" "$reports" build/coverage

step=$(basename "$0" .sh)
say() { printf '%s: %s\n' "$step" "$*"; }
die() { printf '%s: %s\n' "$step" "$1" >&2; exit "${2:-1}"; } # die MESSAGE [EXIT-CODE]

need() { # need COMMAND WHAT-TO-DO
  command -v "$1" >/dev/null 2>&1 || die "there is no $1 on PATH: $2"
}

need_python() {
  [[ -x .venv/bin/python ]] || die 'there is no .venv: run jenkins/setup.sh first'
}

# A parameter of a build that is left empty is what Jenkins' own environment says, for every job of it.
for name in REGISTRY NAMESPACE VALUES PROMETHEUS_URL NOTIFY_URL; do
  everywhere=BOOKINFO_$name
  [[ -n ${!name:-} ]] || printf -v "$name" %s "${!everywhere:-}"
done
[[ -z $REGISTRY || $REGISTRY == */ ]] || REGISTRY=$REGISTRY/
export REGISTRY

need_registry() {
  [[ -n $REGISTRY ]] || die 'REGISTRY is empty: set it to registry and path, such as registry.example/bookinfo/'
}

# Sets COMMIT, TAG and IS_MAIN from what version.sh recorded.
read_version() {
  [[ -f $out/version.env ]] || die "there is no $out/version.env: run jenkins/version.sh first"
  # shellcheck source=/dev/null
  . "$out/version.env"
  export COMMIT TAG IS_MAIN
}
