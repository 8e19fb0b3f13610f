#!/usr/bin/env bash
# Installs what the stages need into .venv; third party by hash.
. "$(dirname "$0")/lib.sh"

need make 'install make'
make .venv/dev.stamp .venv/containers.stamp
