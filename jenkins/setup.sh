#!/usr/bin/env bash
# Installs what the stages need into .venv. Third-party packages are checked by hash.
. "$(dirname "$0")/lib.sh"

require make 'install make'
make .venv/dev.stamp .venv/containers.stamp
