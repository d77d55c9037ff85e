# `make help` lists what can be done here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SWEEP ?= tune
PROJECT ?= recsys

.DEFAULT_GOAL := help
.PHONY: help setup train test lint format bench leaderboard wandb-sweep wandb-dashboard clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Create .venv and install everything into it

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with 'make $(MAKECMDGOALS) PYTHON=python3.12'." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel -c constraints.txt
	$(BIN)/python -m pip install --progress-bar on -c constraints.txt --editable '.[dev]'
	@touch $@

train: setup ## Train gat_sage on the generated platform and print where the run folder is
	$(BIN)/python train.py model=gat_sage

test: setup ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup ## Check style, types and the one way through the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Measure speed and memory (minutes)
	$(BIN)/python -m benchmarks

leaderboard: setup ## Tune and test every model on every data set of benchmarks/leaderboard.yaml (hours; ARGS="--jobs 2")
	$(BIN)/recsys leaderboard $(ARGS)

wandb-sweep: setup ## Let W&B search as sweeps/tune.yaml says, with an agent here (needs a key; SWEEP=... ARGS="data=...")
	$(BIN)/python -m recsys.tuning.wandb_sweep sweeps=$(SWEEP) $(ARGS)

wandb-dashboard: setup ## Make the dashboard of a project at W&B (needs a key; ENTITY=... PROJECT=...)
	$(BIN)/python -m recsys.tuning.dashboard --entity "$(ENTITY)" --project "$(PROJECT)" --sweep $(SWEEP)

clean: ## Remove the environment, caches and runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
