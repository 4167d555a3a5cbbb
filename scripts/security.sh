#!/usr/bin/env bash
# Looks for weak code (bandit), committed secrets (detect-secrets) and known holes in the pinned
# packages (pip-audit; asks the advisory database, so `scripts/security.sh offline` leaves it out).
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/ci_env.sh
bin=.venv-ci/bin

"$bin/bandit" --quiet --recursive --severity-level medium --configfile pyproject.toml evqa train.py evaluate.py serve.py
git ls-files -z | xargs -0 "$bin/detect-secrets-hook" --baseline .secrets.baseline
[ "${1:-}" = offline ] || "$bin/pip-audit" --requirement constraints.txt --no-deps
