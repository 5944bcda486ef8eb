# Everything a person needs, from a fresh clone. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
READY := $(VENV)/.ready
BENCH := .venv-bench

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format simulate kills bench test-cluster clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## make the virtual environment from the lock file

$(READY): pyproject.toml uv.lock
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv; }
	@$(UV) sync --quiet --locked --system-certs
	@touch $(READY)

demo: $(READY) ## the whole loop on the practice cluster: make demo ARGS="etcd-member-removed --fast -o json"
	@$(VENV)/bin/remediator demo $(ARGS)

test: $(READY) ## the tests; what needs a real server that cannot be installed is skipped, and named
	@tests/install-servers
	$(VENV)/bin/pytest $(ARGS)

lint: $(READY) ## ruff, mypy strict, import contracts, rule files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/remediator check rules

format: $(READY) ## put every file into its form
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

simulate: $(READY) ## seeded crashes and faults in virtual time: make simulate SEEDS=200
	@$(VENV)/bin/python -m tests.simulation --seeds $(or $(SEEDS),100)

kills: $(READY) ## real SIGKILLs at every journal point: make kills KILLS=2000
	@$(VENV)/bin/python -m tests.kills --kills $(or $(KILLS),1000) $(ARGS)

bench: $(READY) ## measure, as ratios in one run, beside DBOS and procrastinate; writes build/bench.json
	@UV_PROJECT_ENVIRONMENT=$(BENCH) $(UV) sync --quiet --locked --only-group bench --system-certs \
	  || echo "DBOS and procrastinate cannot be installed into $(BENCH); the run does without them" >&2
	@$(VENV)/bin/python -m tests.benchmarks

test-cluster: $(READY) ## the Kubernetes contract suite on a real API server, where KUBEBUILDER_ASSETS names one
	@tests/cluster/run $(ARGS)

clean: ## forget what was built
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
