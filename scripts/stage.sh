#!/usr/bin/env bash
# Deploys a registered version to staging, tests it there, and rolls back when a test fails.
#
# usage: scripts/stage.sh URL [VERSION]     (VERSION: evqa/candidate)
# The server at URL serves this registry's champion and follows its alias. Needs EVQA_API_KEY.
set -euo pipefail
cd "$(dirname "$0")/.."
url=${1:?usage: scripts/stage.sh URL [VERSION]}
version=${2:-evqa/candidate}
evqa=${EVQA:-.venv/bin/evqa}
python=${PYTHON:-.venv/bin/python}

"$evqa" registry verify "$version"
"$evqa" registry promote "$version"
if "$python" scripts/smoke_endpoint.py "$url" --wait-s "${WAIT_S:-300}"; then
  echo "$version is live at $url"
else
  echo "the smoke test failed; rolling back" >&2
  "$evqa" registry rollback "${version%%/*}"
  exit 4
fi
