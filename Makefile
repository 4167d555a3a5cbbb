# Everything a newcomer needs: make train, make test. `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON_ENV := .venv/bin/python
export TOKENIZERS_PARALLELISM = false

.PHONY: help env train test test-all check format serve-env bench sample clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

env: ## build .venv with the pinned versions (instant when it is there)
	@bash scripts/env.sh

train: env ## train the embedded default and compare it with its base
	$(PYTHON_ENV) train.py

test: env ## run the tests
	OMP_NUM_THREADS=1 $(PYTHON_ENV) -m pytest

test-all: env ## the tests and the long series of kills, sweeps and schedules
	OMP_NUM_THREADS=1 $(PYTHON_ENV) -m pytest -m "not gpu"

check: env ## lint, format, types, walls, README commands
	$(PYTHON_ENV) -m ruff check .
	$(PYTHON_ENV) -m ruff format --check .
	$(PYTHON_ENV) -m mypy
	PATH="$$PWD/.venv/bin:$$PATH" lint-imports --no-cache
	OMP_NUM_THREADS=1 $(PYTHON_ENV) -m pytest -q tests/test_readme.py

format: env ## format the code
	$(PYTHON_ENV) -m ruff check --fix .
	$(PYTHON_ENV) -m ruff format .

serve-env: ## build the engine's own environment, .venv-vllm
	@bash scripts/serve_env.sh

bench: env ## run the quick benchmarks
	$(PYTHON_ENV) benchmarks/control.py

sample: env ## rebuild the shipped corpus from its source texts
	$(PYTHON_ENV) data/sample/build.py

clean: ## remove caches (keeps outputs and environments)
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
