#!/usr/bin/env bash
# Pushes every image with the build's tag, and with the tag latest if the branch is main. Records the digests in
# build/pipeline/digests.json. A tag that exists in the registry is never moved. If it is of the same commit, its image
# is used, so a build can be repeated. Otherwise the push fails.
# Requires REGISTRY, and its credentials in REGISTRY_USER and REGISTRY_PASSWORD.
. "$(dirname "$0")/lib.sh"

require docker 'install it; with BUILDKIT_HOST only its client and buildx are used'
require_registry
read_version
[[ -n ${REGISTRY_USER:-} && -n ${REGISTRY_PASSWORD:-} ]] ||
  die "no credentials for $REGISTRY; set REGISTRY_USER and REGISTRY_PASSWORD (in Jenkins: the credential bookinfo-registry)"

# The credentials are in a temporary directory, so that nothing of them stays on the agent.
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
DOCKER_CONFIG=$(mktemp -d)
export DOCKER_CONFIG
trap 'rm -rf "$DOCKER_CONFIG"' EXIT
[[ ! -d $plugins ]] || ln -s "$plugins" "$DOCKER_CONFIG/cli-plugins"
python3 - >"$DOCKER_CONFIG/config.json" <<'PYTHON'
import base64, json, os

host = os.environ["REGISTRY"].partition("/")[0]
key = "https://index.docker.io/v1/" if host == "docker.io" else host
login = f"{os.environ['REGISTRY_USER']}:{os.environ['REGISTRY_PASSWORD']}"
print(json.dumps({"auths": {key: {"auth": base64.b64encode(login.encode()).decode()}}}))
PYTHON

attempts=3
log=$DOCKER_CONFIG/log
retry() { # retry ACTION COMMAND...: runs the command up to three times; the error is the last line of its output
  local action=$1 attempt
  shift
  for ((attempt = 1; ; attempt++)); do
    "$@" >"$log" 2>&1 && return
    ((attempt < attempts)) || break
    log "$action: attempt $attempt of $attempts failed: $(tail -n 1 "$log")"
    sleep $((attempt * ${PUSH_RETRY_SECONDS:-5}))
  done
  die "$action failed $attempts times: $(tail -n 1 "$log")"
}

# `read_pushed` sets commit and digest to those of a reference in the registry, or to nothing if it does not exist. Any
# other response is an error: without knowing whether a tag exists, it must not be pushed.
not_found='not found|manifest unknown|name unknown|does not exist'
if [[ -n ${BUILDKIT_HOST:-} ]]; then
  builder=$(jenkins/builder.sh)
  inspect() {
    docker buildx imagetools inspect "$1" --format '{{json .}}' >"$DOCKER_CONFIG/inspected" 2>"$log.inspect" && return
    cat "$log.inspect" >&2
    : >"$DOCKER_CONFIG/inspected"
    grep -qiE "$not_found" "$log.inspect"
  }
  read_pushed() {
    retry "reading $1" inspect "$1"
    read -r commit digest < <(python3 jenkins/imagetools.py <"$DOCKER_CONFIG/inspected") || commit='' digest=''
  }
  # The images come from the builder's cache, to which images.sh built them.
  push() {
    retry "pushing $1" env REVISION="$COMMIT" docker buildx bake --file docker-bake.json --builder "$builder" --push \
      --provenance=false --set "*.platform=${PLATFORM:-linux/amd64}" "$2"
  }
  latest() { retry "tagging $1 as latest" docker buildx imagetools create --tag "$1:latest" "$1:$TAG"; }
else
  pull() {
    local output
    if output=$(docker pull --quiet "$1" 2>&1); then echo "$output"; return; fi
    echo "$output"
    grep -qiE "$not_found" <<<"$output"
  }
  read_pushed() {
    commit='' digest=''
    retry "reading $1" pull "$1"
    [[ $(tail -n 1 "$log") == "$1" ]] || return 0 # after a successful pull, --quiet prints the name
    commit=$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$1")
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1" |
      sed -n "s|^${1%:*}@||p" | head -n 1)
  }
  push() { retry "pushing $1" docker push --quiet "$1"; }
  latest() {
    docker tag "$1:$TAG" "$1:latest"
    retry "pushing $1:latest" docker push --quiet "$1:latest"
  }
fi

record=$DOCKER_CONFIG/digests
for name in $(python3 jenkins/bake_groups.py); do
  reference=$REGISTRY$name:$TAG
  read_pushed "$reference"
  if [[ -z $digest ]]; then
    push "$reference" "$name"
    read_pushed "$reference"
    [[ -n $digest ]] || die "$reference was pushed, but the registry does not have it"
  elif [[ $commit != "$COMMIT" ]]; then
    die "$reference already exists, of commit ${commit:-unknown}, and tags are never moved; build with another TAG"
  else
    log "$reference already exists, of this commit"
  fi
  [[ $IS_MAIN == no ]] || latest "$REGISTRY$name"
  printf '%s %s\n' "$name" "$digest" >>"$record"
  log "$reference@$digest"
done
python3 -c 'import json, sys; print(json.dumps(dict(line.split() for line in sys.stdin), indent=2))' <"$record" >"$out/digests.json"
