#!/usr/bin/env bash
# Says which version this build is: the commit, and the tag that its images get. TAG overrides the tag.
. "$(dirname "$0")/lib.sh"

need git 'install git'
commit=$(git rev-parse HEAD 2>/dev/null) || die 'this is no git checkout: a build is named after its commit'
# A tag from the commit is never moved, so what is not in the commit must not be in the images.
changed=$(git status --porcelain | head -n 1)
[[ -z $changed ]] || die "the checkout is changed (${changed:3}), and its images would be named after ${commit:0:12}: commit first"

tag=${TAG:-}
[[ -n $tag ]] || tag=${TAG_NAME:-}
[[ -n $tag ]] || tag=$(<VERSION)-${commit:0:12}
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || die "TAG '$tag' is no tag of an image: letters, digits, '.', '_', '-', at most 128"
[[ $tag != latest ]] || die "TAG 'latest' is moved by the pipeline itself: choose another, or none"

main=no
[[ ${BRANCH_NAME:-} != main ]] || main=yes
printf 'COMMIT=%s\nTAG=%s\nIS_MAIN=%s\n' "$commit" "$tag" "$main" >"$out/version.env"
say "commit $commit, images get the tag $tag$([[ $main == no ]] || echo ', and latest')"
