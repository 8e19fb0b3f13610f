#!/usr/bin/env bash
# Removes this build's canary: first its traffic, then its version. Without a canary it does nothing, so it can run
# after any failure or abort. `rollback.sh all` removes every canary, including those of killed runs.
. "$(dirname "$0")/release.sh"

[[ ${1:-} == all || -f $out/canary ]] || { log 'this build has no canary'; exit; }

read_release || { log "release $RELEASE not found in $NAMESPACE"; exit; }

route_canaries_to_stable() {
  release_values canaries --release "$out/release.json" >"$out/canaries" || exit
  while read -r service stable canary; do
    log "removing $service-$canary"
    route_to_stable "$service" "$stable"
  done <"$out/canaries"
}

route_canaries_to_stable
# A pending upgrade hides what is installed. Helm reports that only after the upgrade is undone.
if undo_pending; then
  read_release || { log "release $RELEASE not found in $NAMESPACE"; exit; }
  route_canaries_to_stable
fi
[[ -s $out/canaries ]] || { rm -f "$out/canary"; log 'the release has no canary'; exit; }
write_values without-canary
upgrade
rm -f "$out/canary"
log "removed the canary from $RELEASE"
