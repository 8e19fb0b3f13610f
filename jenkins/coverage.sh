#!/usr/bin/env bash
# Checks the coverage of the unit, contract and telemetry tests together, and writes a Cobertura report.
# COVERAGE_MINIMUM, in percent, overrides the minimum of the repository.
. "$(dirname "$0")/lib.sh"

require_python
minimum=(${COVERAGE_MINIMUM:+"--fail-under=$COVERAGE_MINIMUM"})
.venv/bin/coverage combine --quiet
.venv/bin/coverage xml --quiet --fail-under=0 -o build/coverage/coverage.xml
.venv/bin/coverage report "${minimum[@]}"
