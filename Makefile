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
TASKS ?= @core
LADDERS ?= results/reference/ladders
GROWTH_TASKS ?= Curved-k2-v0,Staircase-k3-v0
GROWTH_BASELINES ?= ResNet-v0,LeakyResNet-Lt15-v0,KernelRidge-v0,RecursiveFeatureMachine-v0,DirectionalRegression-v0
LADDER_TASKS ?= Curved-k2-v0,EvenWaves-code-k3-v0,Hierarchical-k3-v0,LowRank-k3-v0,MultiIndex-k3-v0,Nuisance-k3-n500-v0,PowerLaw-k5-n200-v0,Staircase-k3-v0
LADDER_BASELINES ?= ResNet-v0,LeakyResNet-v0,FullyConnected-v0,KernelRidge-v0,RecursiveFeatureMachine-v0,DirectionalRegression-v0,Ridge-v0
BASELINES ?= FullyConnected-v0,ResNet-v0,LeakyResNet-v0,Mean-v0,Ridge-v0,KernelRidge-v0

.DEFAULT_GOAL := help
.PHONY: help setup bench test test-slow lint leaderboard audit ladders regress figures perf perf-compare docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
	@echo
	@echo "settings, as in 'make bench PRESET=smoke': PRESET RESULTS SEEDS WORKERS TASKS BASELINES"

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once, a few minutes)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## create the environment (the other targets do it by themselves)

bench: $(STAMP) ## train the baselines under every step rule on the core tasks and print the table
	$(BIN)/leakybench run --task '$(TASKS)' --baseline '$(BASELINES)' --steps uniform,irregular,adaptive \
	  --seeds $(SEEDS) --preset $(PRESET) --workers $(WORKERS) --results $(RESULTS)

# processes of the quick tests; the slow ones time things, and run one after the other
TEST_WORKERS ?= 2
# one thread: the networks of the tests are small, and several threads slow them down
test test-slow: export OMP_NUM_THREADS ?= 1

test: $(STAMP) ## the tests that take minutes
	$(BIN)/python -m pytest -m "not slow" -n $(TEST_WORKERS) --dist worksteal

test-slow: $(STAMP) ## the tests that take longer: real sweeps, real clusters, converged training
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## ruff, mypy and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

leaderboard: $(STAMP) ## rank the reference results: terminal table, Markdown, JSON and the page
	mkdir -p results/reference/leaderboard
	$(BIN)/leakybench leaderboard --results results/reference/records --preset standard --ladders $(LADDERS)/records
	for kind in md json html; do $(BIN)/leakybench leaderboard --results results/reference/records \
	  --preset standard --ladders $(LADDERS)/records --out results/reference/leaderboard/leaderboard.$$kind || exit; done

audit: $(STAMP) ## which tasks of the board tell methods apart, and the core set
	$(BIN)/leakybench audit results/reference/validity --preset standard

ladders: $(STAMP) ## samples until methods find the structure, on eight families, and how they grow with d and k (hours)
	for out in '--refine error --out $(LADDERS)/thresholds.json' '--refine error --out $(LADDERS)/curves.svg' \
	  '--threshold error --wide --out $(LADDERS)/thresholds.md' \
	  '--threshold error --figure depth --out $(LADDERS)/depth.svg' \
	  '--threshold error --figure depth --out $(LADDERS)/depth.png'; do \
	  $(BIN)/leakybench ladder --axis n_train=25:3200 --task '$(LADDER_TASKS)' \
	    --baseline '$(LADDER_BASELINES)' \
	    $(foreach depth,1 3 5 7 10 15 18,--set LeakyResNet-v0:effective_depth=$(depth)) --workers $(WORKERS) \
	    --no-arrays --results $(LADDERS)/records $$out || exit; \
	done
	for grown in d:d=12,25,50,100 d-to-50:d=12,25,50 k:k=1,2,3,4; do values=$${grown#*:}; \
	  for kind in md json svg; do \
	    $(BIN)/leakybench ladder --axis n_train=25:1600 --threshold error --precision 2 --most 6 --task '$(GROWTH_TASKS)' \
	      $$(for value in $$(echo $${values#*=} | tr , ' '); do printf -- '--set-task %s=%s ' $${values%%=*} $$value; done) \
	      --baseline '$(GROWTH_BASELINES)' --workers $(WORKERS) --no-arrays --results $(LADDERS)/growth \
	      --figure growth --out $(LADDERS)/growth-$${grown%%:*}.$$kind || exit; \
	  done; \
	done

regress: $(STAMP) ## train the gate's small plan and compare it with the reference: exit 1 where it got worse or slower
	$(BIN)/leakybench regress --reference results/reference

figures: $(STAMP) ## the paper's figures and nine more, from stored runs, training what is missing
	$(BIN)/leakybench figures --only 1a,1b,1c,2a,2b,2c,3,theorem,cross-term,layers,adaptive,depth-grid,rank
	$(BIN)/leakybench figures --only controls,few-samples --seeds 0:10 --no-arrays
	$(BIN)/leakybench figures --only tuned --seeds 0:3 --no-arrays --results results/reference/tuned
	$(BIN)/leakybench leaderboard --results results/reference/tuned --preset standard --overall \
	  --out results/reference/figures/tuned-board.md
	$(BIN)/python -m leakybench.figures.tables docs/theory.md

perf: $(STAMP) ## step times as ratios to plain PyTorch and to the bare products, growth, memory, time to target
	$(BIN)/python -m tests.perf.ratios
	$(BIN)/python -m pytest tests/perf --benchmark-only --benchmark-autosave

perf-compare: $(STAMP) ## the timings against those that the last `make perf` stored
	$(BIN)/python -m pytest tests/perf --benchmark-only --benchmark-compare --benchmark-compare-fail=median:25%

docs: $(STAMP) ## build the documentation
	$(BIN)/python -m mkdocs build --strict

clean: ## remove the environment, builds and caches; results stay
	rm -rf $(VENV) build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks \
	  .import_linter_cache
	find suite tasks baselines tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
