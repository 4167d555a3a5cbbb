#!/usr/bin/env bash
# Checks workflows, containers, compose file and shell scripts; nothing is run and nothing fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/ci_env.sh
bin=.venv-ci/bin

"$bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$bin/check-jsonschema" --builtin-schema vendor.compose-spec docs/deploy/compose.yaml
"$bin/zizmor" --offline --quiet .github/workflows
"$bin/hadolint" --failure-threshold warning docs/deploy/*.Dockerfile
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
