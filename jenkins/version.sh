#!/usr/bin/env bash
# Records the commit of this build and the tag of its images. TAG overrides the tag.
. "$(dirname "$0")/lib.sh"

require git 'install git'
commit=$(git rev-parse HEAD 2>/dev/null) || die 'this directory is not a Git checkout; the images are tagged with the commit'
# A tag that names a commit is never moved, so the images must contain exactly that commit.
changed=$(git status --porcelain | head -n 1)
[[ -z $changed ]] || die "the checkout differs from commit ${commit:0:12} (${changed:3}); commit the change first"

tag=${TAG:-}
[[ -n $tag ]] || tag=${TAG_NAME:-}
[[ -n $tag ]] || tag=$(<VERSION)-${commit:0:12}
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] ||
  die "invalid TAG '$tag'; use up to 128 letters, digits, '.', '_' and '-'"
[[ $tag != latest ]] || die "invalid TAG 'latest', which the pipeline itself moves; use another tag, or none"

main=no
[[ ${BRANCH_NAME:-} != main ]] || main=yes
printf 'COMMIT=%s\nTAG=%s\nIS_MAIN=%s\n' "$commit" "$tag" "$main" >"$out/version.env"
log "commit $commit; the images get the tag $tag$([[ $main == no ]] || echo ' and latest')"
