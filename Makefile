# `make run` starts Bookinfo, `make test` runs all tests, and `make help` lists all targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/chassis libs/kubectl services/productpage services/details services/reviews services/ratings lab lab/workloads/client lab/workloads/books canary
# Only for development: `make run` and the images do not contain them.
DEV_PACKAGES := libs/testing
SOURCES := $(addsuffix /src,$(PACKAGES) $(DEV_PACKAGES))

.PHONY: help
help:  ## list all targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/run.stamp  ## install what `make run` needs into .venv (third-party packages by hash)

$(VENV)/bin/python:
	@$(PYTHON) requirements/check_python.py
	@echo "setup: creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(VENV)/bin/python requirements/build.txt requirements/lab.txt $(addsuffix /pyproject.toml,$(PACKAGES)) VERSION
	@echo "setup: installing third-party packages (hash-checked; the first time takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/lab.txt
	@echo "setup: installing Bookinfo's own packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt $(addsuffix /pyproject.toml,$(DEV_PACKAGES))
	@echo "setup: installing the development tools (hash-checked)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(DEV_PACKAGES))
	@touch $@

$(VENV)/containers.stamp: $(VENV)/bin/python requirements/containers.txt
	@echo "setup: installing the tools for containers (hash-checked) into $(VENV)/containers"
	@$(BIN)/python -m venv $(VENV)/containers
	@$(VENV)/containers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/containers.txt
	@touch $@

.PHONY: run
run: setup  ## start Bookinfo on http://localhost:8080/productpage (Ctrl-C stops it; UP=--gateway-port=8090)
	@exec $(BIN)/bookinfo up $(UP)

.PHONY: docs
docs: setup  ## regenerate the pages that come from code: docs/scenarios and docs/architecture.md
	@$(BIN)/bookinfo scenario docs
	@$(BIN)/python docs/tools/architecture.py

.PHONY: dashboards
dashboards: $(VENV)/dev.stamp  ## regenerate observability/dashboards from observability/sources
	@$(BIN)/python observability/tools/dashboards.py

# Tests that compare with a golden file (the fixture `golden` of conftest.py).
GOLDEN_TESTS := lab/tests/cli/test_help.py lab/tests/resources/test_error_messages.py

.PHONY: goldens
goldens: $(VENV)/dev.stamp  ## regenerate the golden files of the tests, such as the list of error messages
	@$(BIN)/python -m pytest -q --update-goldens $(GOLDEN_TESTS)

.PHONY: lint
lint: style types layers  ## check style, types and the layers of the lab

.PHONY: style
style: $(VENV)/dev.stamp  ## check style
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

.PHONY: types
types: $(VENV)/dev.stamp  ## check types
	@$(BIN)/mypy $(SOURCES) lab/tools benchmarks requirements $(wildcard containers/*.py) charts/tools observability/tools $(wildcard jenkins/*.py)

.PHONY: layers
layers: $(VENV)/dev.stamp  ## check the imports between the layers of the lab
	@output=$$($(BIN)/lint-imports --no-logo) || { echo "$$output"; exit 1; }

# `make coverage` reports the coverage of all parts that run with PYTEST, including their subprocesses.
PYTEST = $(BIN)/coverage run -m pytest -q
# For tests that do not depend on timing. `loadfile` keeps a file's tests together, because they share fixtures.
PARALLEL = -n auto --maxprocesses 8 --dist

.PHONY: unit
unit: $(VENV)/dev.stamp  ## run the unit tests of every package
	@$(PYTEST) $(PARALLEL) worksteal libs services lab canary benchmarks tests/repository --ignore=canary/tests/integration

.PHONY: contract
contract: $(VENV)/dev.stamp  ## test each client with its server, and each service with its API description
	@$(PYTEST) $(PARALLEL) loadfile tests/contract tests/api

.PHONY: coverage
coverage: $(VENV)/dev.stamp  ## report the coverage of `make unit contract telemetry`; below 95 % is an error
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# Two labs need some 170 inotify instances. With the usual limit of 128, only one lab runs at a time.
TWO_LABS = $(if $(shell (( $$(cat /proc/sys/fs/inotify/max_user_instances 2>/dev/null || echo 0) >= 512 )) && echo yes),-n 2 --dist loadfile)

.PHONY: lab
lab: $(VENV)/dev.stamp  ## test the lab on real Envoys
	@$(BIN)/python -m pytest -q $(TWO_LABS) tests/lab

.PHONY: telemetry
telemetry: $(VENV)/dev.stamp  ## test the traces that a real OTLP receiver gets
	@$(PYTEST) $(PARALLEL) loadfile tests/telemetry

.PHONY: e2e
e2e: $(VENV)/dev.stamp  ## test the product page and the watch page in Chromium
	@$(BIN)/python -m pytest -q tests/e2e

.PHONY: interpreters
interpreters: $(VENV)/dev.stamp  ## install and import the services with every other Python on this machine
	@$(BIN)/python -m pytest -q tests/interpreters

.PHONY: containers
containers: $(VENV)/dev.stamp $(VENV)/containers.stamp  ## build the images and test them with Docker Compose (needs Docker)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile containers/tests

.PHONY: chart
chart: $(VENV)/dev.stamp  ## lint, package (into dist/) and test the chart with a real Helm
	@$(BIN)/python charts/tools/build.py
	@$(BIN)/python -m pytest -q $(PARALLEL) loadfile charts/tests

# Most of these tests wait for a process, so three run at a time on two cores. The longest files start first.
LONGEST_FIRST = jenkins/tests/test_build.py jenkins/tests/test_rollout.py canary/tests/integration

.PHONY: pipeline
pipeline: $(VENV)/dev.stamp $(VENV)/containers.stamp  ## test the pipeline by executing its steps (needs Docker and Groovy)
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(LONGEST_FIRST) jenkins/tests

.PHONY: observability
observability: $(VENV)/dev.stamp  ## run all queries of rules and dashboards on a real Prometheus (needs Prometheus)
	@$(BIN)/python -m pytest -q observability/tests

.PHONY: manifests
manifests: $(VENV)/dev.stamp  ## validate the manifests, and test docs/cluster.md and the cluster scripts
	@$(BIN)/python -m pytest -q $(PARALLEL) loadfile tests/manifests cluster/tests

# The longest parts start first. `coverage` runs last, because it reads what other parts measured.
PARTS := lint lab containers pipeline unit e2e telemetry contract manifests chart observability interpreters
TEST_JOBS ?= 2
RESULTS := build/test

.PHONY: test
test: $(VENV)/dev.stamp $(VENV)/containers.stamp  ## run all tests: TEST_JOBS=2 parts at a time, with the time of each
	@rm -rf .coverage .coverage.* $(RESULTS); mkdir -p $(RESULTS)
	@$(MAKE) --jobs=$(TEST_JOBS) $(PARTS:%=part-%)
	@$(MAKE) part-coverage
	@echo '== all parts passed'; cat $(RESULTS)/*.time

# Run one part, and print its output when it ends, so that two parts do not mix their lines.
part-%:
	@echo "== $*: started"; start=$$(date +%s); status=0; \
	  $(MAKE) $* >$(RESULTS)/$*.log 2>&1 || status=$$?; \
	  seconds=$$(( $$(date +%s) - start )); \
	  printf '  %-14s %4d s\n' $* $$seconds >$(RESULTS)/$*.time; \
	  printf '== %s: %s after %d s\n' $* "$$( (( status )) && echo failed || echo passed )" $$seconds; \
	  cat $(RESULTS)/$*.log; exit $$status

.PHONY: format
format: $(VENV)/dev.stamp  ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/dev.stamp  ## measure CPU, latency, memory and start time (BENCH="--quick --output FILE")
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: images
images:  ## build the container images (IMAGES="bookinfo-details ...", REGISTRY=name/, TAG=, PYTHON_IMAGE=)
	@$(PYTHON) -m containers.build $(IMAGES)

.PHONY: sbom
sbom: $(VENV)/containers.stamp  ## write a CycloneDX SBOM of each image into build/sbom (IMAGES=...)
	@$(VENV)/containers/bin/python -m containers.sbom $(IMAGES)

.PHONY: audit
audit: $(VENV)/containers.stamp  ## check the locked packages for known vulnerabilities
	@$(VENV)/containers/bin/python -m containers.audit

.PHONY: pin
pin: $(VENV)/dev.stamp  ## record the digests of third-party images
	@$(PYTHON) -m containers.pin
	@$(BIN)/python -m containers.bake

.PHONY: bake
bake: $(VENV)/dev.stamp  ## regenerate docker-bake.json and the configuration of the compose gateway
	@$(BIN)/python -m containers.bake
	@$(BIN)/python -m containers.gateway

.PHONY: jenkins-lock
jenkins-lock: $(VENV)/bin/python  ## resolve the versions of Jenkins' plugins (needs its update center)
	@$(BIN)/python jenkins/plugins.py

.PHONY: lock
lock: $(VENV)/dev.stamp  ## resolve third-party versions into requirements/ (LOCK=--upgrade takes the newest)
	@$(BIN)/python requirements/lock.py $(LOCK)

.PHONY: cluster-up
cluster-up:  ## create a kind cluster with the images and a metrics server (docs/cluster.md)
	@cluster/up

.PHONY: mesh-up
mesh-up:  ## install Istio in the cluster (MESH=ambient: no sidecars; CONTEXT=kind-bookinfo)
	@cluster/mesh

.PHONY: deploy
deploy:  ## install Bookinfo in the cluster, at http://localhost:8080/productpage (MESH, CONTEXT)
	@cluster/deploy

.PHONY: cluster-down
cluster-down:  ## delete the kind cluster
	@cluster/down

.PHONY: clean
clean:  ## delete everything that the other targets created
	rm -rf $(VENV) build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
