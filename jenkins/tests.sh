#!/usr/bin/env bash
# Runs the tests of one make target and leaves a JUnit report: tests.sh unit|contract|telemetry|lab|chart|...
. "$(dirname "$0")/lib.sh"

part=${1:-}
[[ -n $part ]] || die 'which tests? such as: jenkins/tests.sh unit' 2
# These hold this very pipeline: it would run itself without end.
[[ $part != test && $part != pipeline ]] || die "not from the pipeline: 'make $part' runs the pipeline" 2
export PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} --junitxml=$PWD/$reports/$part.xml"
make "$part"
