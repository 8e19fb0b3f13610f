#!/usr/bin/env bash
# Verifies the scenarios on real traffic, in a lab of its own. SCENARIOS="request-routing canary" selects some of them.
. "$(dirname "$0")/lib.sh"

require_python
read -ra scenarios <<<"${SCENARIOS:-}"
.venv/bin/bookinfo verify --lab "pipeline-$$" "${scenarios[@]}" | tee "$reports/verify.txt"
