#!/usr/bin/env bash
# Runs the tests of one make target and writes a JUnit report: tests.sh unit|contract|telemetry|lab|chart|...
. "$(dirname "$0")/lib.sh"

part=${1:-}
[[ -n $part ]] || die 'missing target; use for example: jenkins/tests.sh unit' 2
# These targets include the tests of this pipeline, so the pipeline would start itself endlessly.
[[ $part != test && $part != pipeline ]] || die "the pipeline cannot run 'make $part', because that runs the pipeline" 2
export PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} --junitxml=$PWD/$reports/$part.xml"
make "$part"
