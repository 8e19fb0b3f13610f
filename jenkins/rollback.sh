#!/usr/bin/env bash
# Takes this build's canary away: no traffic first, then its version. Does nothing where this build has none, so that it
# can be called after any failure or abort. `rollback.sh all` takes away whatever canary is there, such as one of a run
# that was killed.
. "$(dirname "$0")/release.sh"

[[ ${1:-} == all || -f $out/canary ]] || { say 'this build has no canary'; exit; }

read_release || { say "nothing is installed as $RELEASE in $NAMESPACE"; exit; }

take_traffic() {
  release_py leftover --release "$out/release.json" >"$out/leftover" || exit
  while read -r service stable canary; do
    say "taking $service-$canary away"
    route_to_stable "$service" "$stable"
  done <"$out/leftover"
}

take_traffic
# What a pending upgrade was to bring is not what is there: only once it is undone does Helm say what is.
if undo_pending; then
  read_release || { say "nothing is installed as $RELEASE in $NAMESPACE"; exit; }
  take_traffic
fi
[[ -s $out/leftover ]] || { rm -f "$out/canary"; say 'there is no canary'; exit; }
values settle
upgrade
rm -f "$out/canary"
say "$RELEASE is without a canary"
