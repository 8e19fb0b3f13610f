#!/usr/bin/env bash
# Pushes every image under the build's tag, and as latest if the build is of main; records the digests in
# build/pipeline/digests.json. A tag that is in the registry is never moved: if it is of this commit it is what counts,
# so that a build can be repeated, otherwise the push stops.
# Needs REGISTRY, and its credentials in REGISTRY_USER and REGISTRY_PASSWORD.
. "$(dirname "$0")/lib.sh"

need docker 'install it; with BUILDKIT_HOST only its client and buildx are used'
need_registry
read_version
[[ -n ${REGISTRY_USER:-} && -n ${REGISTRY_PASSWORD:-} ]] ||
  die "no credentials for $REGISTRY: set REGISTRY_USER and REGISTRY_PASSWORD (in Jenkins: the credential bookinfo-registry)"

# Credentials stand in a folder of this run's own, so that nothing of them stays on the agent.
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
retried() { # retried WHAT COMMAND...: again after a failure, twice; in the end the last words of the last failure are told
  local what=$1 attempt
  shift
  for ((attempt = 1; ; attempt++)); do
    "$@" >"$log" 2>&1 && return
    ((attempt < attempts)) || break
    say "$what: attempt $attempt of $attempts failed: $(tail -n 1 "$log")"
    sleep $((attempt * ${PUSH_RETRY_SECONDS:-5}))
  done
  die "$what failed $attempts times: $(tail -n 1 "$log")"
}

# `there` sets commit and digest to those that the registry has under a reference, or to nothing if it has nothing. Any
# other answer counts as a failure: whoever cannot see a tag must not move it.
absent='not found|manifest unknown|name unknown|does not exist'
if [[ -n ${BUILDKIT_HOST:-} ]]; then
  builder=$(jenkins/builder.sh)
  inspect() {
    docker buildx imagetools inspect "$1" --format '{{json .}}' >"$DOCKER_CONFIG/found" 2>"$log.inspect" && return
    cat "$log.inspect" >&2
    : >"$DOCKER_CONFIG/found"
    grep -qiE "$absent" "$log.inspect"
  }
  there() {
    retried "asking for $1" inspect "$1"
    read -r commit digest < <(python3 jenkins/imagetools.py <"$DOCKER_CONFIG/found") || commit='' digest=''
  }
  # From the builder's cache, which has what images.sh built.
  push() {
    retried "pushing $1" env REVISION="$COMMIT" docker buildx bake --file docker-bake.json --builder "$builder" --push \
      --provenance=false --set "*.platform=${PLATFORM:-linux/amd64}" "$2"
  }
  latest() { retried "tagging $1 as latest" docker buildx imagetools create --tag "$1:latest" "$1:$TAG"; }
else
  pull() {
    local words
    if words=$(docker pull --quiet "$1" 2>&1); then echo "$words"; return; fi
    echo "$words"
    grep -qiE "$absent" <<<"$words"
  }
  there() {
    commit='' digest=''
    retried "asking for $1" pull "$1"
    [[ $(tail -n 1 "$log") == "$1" ]] || return 0 # pulled: its name is what --quiet prints
    commit=$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$1")
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1" |
      sed -n "s|^${1%:*}@||p" | head -n 1)
  }
  push() { retried "pushing $1" docker push --quiet "$1"; }
  latest() {
    docker tag "$1:$TAG" "$1:latest"
    retried "pushing $1:latest" docker push --quiet "$1:latest"
  }
fi

record=$DOCKER_CONFIG/digests
for name in $(python3 jenkins/bake_groups.py); do
  reference=$REGISTRY$name:$TAG
  there "$reference"
  if [[ -z $digest ]]; then
    push "$reference" "$name"
    there "$reference"
    [[ -n $digest ]] || die "$reference was pushed, and the registry does not have it"
  elif [[ $commit != "$COMMIT" ]]; then
    die "$reference is there already, of commit ${commit:-unknown}, and a tag is never moved: build with another TAG"
  else
    say "$reference is there already, of this commit: it stays"
  fi
  [[ $IS_MAIN == no ]] || latest "$REGISTRY$name"
  printf '%s %s\n' "$name" "$digest" >>"$record"
  say "$reference@$digest"
done
python3 -c 'import json, sys; print(json.dumps(dict(line.split() for line in sys.stdin), indent=2))' <"$record" >"$out/digests.json"
