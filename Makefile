# Every target sets up what it needs: a virtual environment with the pinned packages of requirements.lock, once, and again
# when the lock or pyproject.toml changes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

PRESET ?= standard
RESULTS ?= results/runs
SEEDS ?= 0:3
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
TASKS ?= LowRank-k2-v0,LowRank-k3-v0,LowRank-k5-v0
BASELINES ?= FullyConnected-v0,ResNet-v0,LeakyResNet-v0,Mean-v0,Ridge-v0,KernelRidge-v0

.DEFAULT_GOAL := help
.PHONY: help setup bench test test-slow lint clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
	@echo
	@echo "settings, as in 'make bench PRESET=smoke': PRESET RESULTS SEEDS WORKERS TASKS BASELINES"

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(STAMP) ## create the environment (the other targets do it by themselves)

bench: $(STAMP) ## train every baseline under every step rule on the low-rank tasks and print the table
	$(BIN)/leakybench run --task '$(TASKS)' --baseline '$(BASELINES)' --steps uniform,irregular,adaptive \
	  --seeds $(SEEDS) --preset $(PRESET) --workers $(WORKERS) --results $(RESULTS)

test: $(STAMP) ## the tests that take minutes
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(STAMP) ## the tests that take longer: real sweeps, real clusters, converged training
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## ruff, mypy and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## remove the environment and the caches; results stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
