#!/usr/bin/env bash
# Judges what unit, contract and telemetry tests covered together (COVERAGE_MINIMUM in per cent overrides the
# repository's), and leaves a Cobertura report.
. "$(dirname "$0")/lib.sh"

need_python
minimum=(${COVERAGE_MINIMUM:+"--fail-under=$COVERAGE_MINIMUM"})
.venv/bin/coverage combine --quiet
.venv/bin/coverage xml --quiet --fail-under=0 -o build/coverage/coverage.xml
.venv/bin/coverage report "${minimum[@]}"
