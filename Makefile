# Everything a newcomer needs: make train, make test. `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON_ENV := .venv/bin/python
export TOKENIZERS_PARALLELISM = false
# a file's tests stay together: they share what is dear to make (a run, an engine)
PYTEST = OMP_NUM_THREADS=1 $(PYTHON_ENV) -m pytest -n $(TEST_WORKERS) --dist loadfile
TEST_WORKERS ?= 2

.PHONY: help env train test test-all coverage check lint-ops security pipeline stage dist publish \
	format serve-env bench sample clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

env: ## build .venv with the pinned versions (instant when it is there)
	@bash scripts/env.sh

train: env ## train the embedded default and compare it with its base
	$(PYTHON_ENV) train.py

test: env ## run the tests
	$(PYTEST)

test-all: env ## the tests and the long series of kills, sweeps and schedules
	$(PYTEST) -m "not gpu"

coverage: env ## the tests, which must reach 90 % of the lines
	$(PYTEST) --cov=evqa --cov-report=term:skip-covered --cov-fail-under=90

check: env lint-ops ## lint, format, types, walls, README commands, workflows, secrets
	$(PYTHON_ENV) -m ruff check .
	$(PYTHON_ENV) -m ruff format --check .
	$(PYTHON_ENV) -m mypy
	PATH="$$PWD/.venv/bin:$$PATH" lint-imports --no-cache
	OMP_NUM_THREADS=1 $(PYTHON_ENV) -m pytest -q tests/test_readme.py
	bash scripts/security.sh offline

lint-ops: ## check workflows, containers, compose file, scripts
	bash scripts/lint_ops.sh

security: ## weak code, committed secrets, known holes in the pinned packages
	bash scripts/security.sh

pipeline: env ## prepare, train, evaluate, gate, release (OVERRIDES="lora.r=32 …")
	$(PYTHON_ENV) -m evqa.pipeline $$OVERRIDES

stage: env ## promote VERSION, smoke-test URL, roll back when that fails
	bash scripts/stage.sh "$$URL" "$${VERSION:-evqa/candidate}"

dist: env ## build wheel and source archive into dist/
	$(PYTHON_ENV) -m build --outdir dist

publish: ## attach dist/ to the GitHub release of TAG
	gh release create "$$TAG" --generate-notes --verify-tag dist/*

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
