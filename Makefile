# A fresh machine needs Python 3.11 or newer and make; everything else is installed by the targets themselves.

PYTHON ?= python3
PORT ?= 8000
SECONDS ?= 60
URL =
CLUSTER =
STEPS ?= 5
WORKERS ?= 2
ARGS ?=
ROOMS ?= api artifacts engine jobs ml runners stores tasks testing

# Another interpreter than the default has an environment of its own: make test PYTHON=python3.13
VENV := .venv$(patsubst %,-%,$(filter-out python3,$(notdir $(PYTHON))))
OLDEST := $(VENV)-oldest
RUN := $(VENV)/bin/python -m
PYTEST := pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-cluster test test-fast test-python test-postgres test-oldest check lint format pictures bench crash-test many-machines clean compiled programs

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Start the example service and watch a job run live (PORT=8000, STEPS=5, URL=postgresql://...)
	@$(if $(URL),SERVICEKIT_JOBS_URL='$(URL)') $(VENV)/bin/python tools/demo.py --port $(PORT) --steps $(STEPS)

demo-cluster: $(VENV)/$(if $(CLUSTER),.equipped,.installed) ## See a job survive the death of its worker (STEPS, URL), or of its node: CLUSTER=ray
	@$(VENV)/bin/python -m tools.demo_$(or $(CLUSTER),cluster) --steps $(STEPS) $(if $(URL),--url '$(URL)')

test: $(VENV)/.equipped compiled programs tests/frontend/node_modules/.installed ## Run the whole test suite, from nothing (ARGS: pytest's)
	$(RUN) $(PYTEST)

test-fast: $(VENV)/.equipped compiled ## Run the tests that need neither browser nor proxies
	SERVICEKIT_WITHOUT="apache chromium nginx" $(RUN) $(PYTEST)

test-python: $(VENV)/.equipped compiled ## Run the tests of the package itself, for another PYTHON=python3.13 (ROOMS: some of them)
	$(RUN) $(PYTEST) $(addprefix tests/,$(ROOMS))

test-postgres: $(VENV)/.equipped compiled programs ## Run the tests of the engine, the API, the guide and the docs' pages on a PostgreSQL server
	SERVICEKIT_TESTS_ON=postgresql $(RUN) $(PYTEST) tests/engine tests/testing tests/api tests/guide tests/docs/test_blocks.py

test-oldest: $(OLDEST)/.equipped compiled programs tests/frontend/node_modules/.installed ## Run the suite with the lowest allowed dependencies
	$(OLDEST)/bin/python -m $(PYTEST)

check: lint test ## Check format, lint, imports and types, then run the tests

lint: $(VENV)/.equipped ## Check format, lint, import direction, structure and types
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python tools/structure.py --check
	$(RUN) mypy
	$(RUN) tools.check_scripts

format: $(VENV)/.equipped ## Format the code and mend what can be mended
	$(RUN) ruff format
	$(RUN) ruff check --fix

pictures: $(VENV)/.equipped ## Make the pictures of the documentation anew, from the running dashboard
	$(RUN) tests.web.pictures

bench: $(VENV)/.equipped ## Measure, beside the peers (ARGS: the benchmarks')
	$(RUN) benchmarks $(ARGS)

crash-test: $(VENV)/.equipped compiled ## Kill processes at random, and see that nothing is lost (SECONDS=60, ARGS="--seed 1")
	$(RUN) tests.crash --seconds $(SECONDS) $(ARGS)

many-machines: $(VENV)/.equipped compiled programs ## Try every promise on many machines, long ones too, in some 10 minutes
	$(RUN) tests.many_machines $(ARGS)

clean: ## Remove environments, caches and builds
	rm -rf .venv .venv-* benchmarks/.peer* tests/frontend/node_modules dist
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find benchmarks examples src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# What users of the package have ...
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing servicekit into $(VENV); the first time this takes a minute."
	@$(RUN) pip install --quiet --editable ".[logging,monitoring,postgres,standard]"
	@touch $@

# ... and the tools of its developers with it. uv needs a third of the time, and pip knows where this machine gets its packages.
$(VENV)/.equipped: pyproject.toml | $(VENV)/bin/python
	@echo "Installing servicekit and its development tools into $(VENV); the first time this takes a minute."
	@$(RUN) pip install --quiet uv && \
		$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --editable ".[all,dev]" || \
		$(RUN) pip install --quiet --editable ".[all,dev]"
	@touch $@ $(VENV)/.installed

$(OLDEST)/.equipped: pyproject.toml | $(OLDEST)/bin/python
	@echo "Installing the lowest allowed dependencies into $(OLDEST)."
	@$(OLDEST)/bin/python -m pip install --quiet uv
	@$(OLDEST)/bin/uv pip install --quiet --upgrade --python $(OLDEST)/bin/python --resolution lowest-direct --editable ".[all,dev]"
	@touch $@

$(VENV)/bin/python $(OLDEST)/bin/python:
	@tools/create_venv.sh $(PYTHON) $(@:/bin/python=)

# Tests start hundreds of processes. Where Python is told to write no bytecode, each would compile all that it imports.
compiled: | $(VENV)/bin/python
	@$(RUN) compileall -q benchmarks examples src tests tools

# What the tests need beyond Python. Where it cannot be had, the tests that need it are skipped, and say so.
programs: | $(VENV)/.equipped
	@$(VENV)/bin/python tools/system_packages.py

tests/frontend/node_modules/.installed: tests/frontend/package.json | $(VENV)/.equipped programs
	@$(VENV)/bin/python tools/install_frontend.py
