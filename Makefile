# Bookinfo: `make run` starts it, `make test` proves it, `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/chassis services/productpage services/details services/reviews services/ratings lab
SOURCES := $(addsuffix /src,$(PACKAGES))

.PHONY: help
help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "setup: installing the development tools (hash-checked)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: run
run: setup  ## start Bookinfo on http://localhost:8080/productpage (Ctrl-C stops it)
	@exec $(BIN)/bookinfo up

.PHONY: lint
lint: $(VENV)/dev.stamp  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(SOURCES)

.PHONY: format
format: $(VENV)/dev.stamp  ## rewrite the code in the one style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/dev.stamp  ## resolve third-party versions anew into requirements/ (LOCK=--upgrade for the newest)
	@$(BIN)/python requirements/lock.py $(LOCK)

.PHONY: clean
clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
