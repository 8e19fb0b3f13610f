#!/usr/bin/env bash
# Proves on real traffic that the mesh does what its rules say, in a lab of its own: verify.sh, or for some
# scenarios alone SCENARIOS="routing canary" jenkins/verify.sh
. "$(dirname "$0")/lib.sh"

need_python
read -ra scenarios <<<"${SCENARIOS:-}"
.venv/bin/bookinfo verify --lab "pipeline-$$" "${scenarios[@]}" | tee "$reports/verify.txt"
