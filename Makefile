# Every target sets itself up: Python 3.11 to 3.13, a C compiler and a package index are all a machine needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test kafka browser again faults soak lint format bench lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := schemas streams sinks collector dashboard simulator deploy
EVENTS ?= 100000
# Of the faults. A round takes one to two minutes.
SEED ?= 1
ROUNDS ?= 5
BROKER ?= embedded
# More processes than cores: most tests wait for servers that start. The tests of one file share theirs.
# Files in their order: of those with few tests, which xdist would begin last, each takes minutes, and one process would end long after the others.
JOBS ?= 3
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# An environment of the caller's must not leak into ours, nor ours into what it is made with.
export PATH := $(subst $(CURDIR)/$(VENV)/bin:,,$(PATH))
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@python=$$(for name in python3.13 python3.12 python3.11 python3 python; do \
	  path=$$(command -v $$name) || continue; \
	  "$$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo "$$path"; break; }; \
	done); \
	if [ -z "$$python" ]; then echo "funnel needs Python 3.11, 3.12 or 3.13 on the PATH" >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$("$$python" --version)"; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## Install everything into .venv

run: $(STAMP) ## Start everything embedded, send simulated events, verify, show the funnel
	@$(BIN)/funnel up --events $(EVENTS) --verify

test: $(STAMP) ## Run all tests that need no Java and no browser
	@$(PYTEST)

kafka: $(STAMP) ## Run the tests that need Apache Kafka: Java 17 and mvn on the PATH, or FUNNEL_TEST_KAFKA
	@$(PYTEST) -m apache

browser: $(STAMP) ## Run the tests that need a browser: Chromium on the PATH
	@$(PYTEST) tests/browser

again: $(STAMP) ## Run what failed the last time, one test after the other
	@$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m '' tests

faults: $(STAMP) ## Shortened faults under traffic, every number judged: SEED, ROUNDS, BROKER (embedded, apache, cluster)
	@$(BIN)/python -m tests.faults.harness --seed $(SEED) --rounds $(ROUNDS) --events 5000 --broker $(BROKER)

soak: $(STAMP) ## The same with faults of full length, twenty rounds of 100,000 events
	@$(BIN)/python -m tests.faults.harness --full --seed $(SEED) --rounds 20 --events 100000 --broker $(BROKER)

lint: $(STAMP) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## Put the code into the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) ## Measure: front, collector, door, latency, fuzzed requests, pipeline, attribution, exactly-once, explain, the page (needs Chromium), sizing, recovery, outage, steady load; one JSON line each
	@failed=0; for name in front collector door latency fuzz pipeline attribution exactly_once explain page seen sizing recovery outage steady; do $(BIN)/python -m benchmarks.$$name || failed=1; done; exit $$failed

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command 'make lock'
THIRD_PARTY := tests/integration/third_party/requirements
BI := tests/contract/bi/requirements

lock: $(STAMP) ## Resolve the dependencies anew: ours, the image's, and those of the tests' third party
	@$(COMPILE) --all-extras pyproject.toml -o requirements.lock
	@$(COMPILE) --extra image --constraint requirements.lock pyproject.toml -o deploy/requirements.lock
	@$(COMPILE) $(THIRD_PARTY).in -o $(THIRD_PARTY).lock
	@$(COMPILE) $(BI).in -o $(BI).lock

clean: ## Remove everything that the other targets made
	@rm -rf $(VENV) .cache .funnel .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
