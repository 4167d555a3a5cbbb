#!/usr/bin/env bash
# Build .venv with the pinned versions; a stamp marks a finished install, so a rerun is instant.
# On a machine without an NVIDIA GPU the CPU build of PyTorch is installed and nothing of CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
torch_version=$(sed -n 's/^torch==//p' constraints.txt)
stamp="$venv/.installed"
wanted=$(cat pyproject.toml constraints.txt scripts/env.sh | sha256sum | cut -d' ' -f1)

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

find_python() {
    for name in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
            echo "$name"
            return
        fi
    done
    echo "error: evqa needs Python 3.11 to 3.13 (set PYTHON=/path/to/python)" >&2
    return 1
}

python=$(find_python)
rm -f "$stamp"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

echo "installing evqa into $venv (once; about four minutes)"
# pip before 25 cannot resolve newspaper4k together with trafilatura.
pip install -q --upgrade "pip>=25"

has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; }
if has_gpu || [ "$(uname -s)" != Linux ]; then
    pip install -q "torch==$torch_version"
else
    # A local CPU wheel if pip is set up to find one, else PyTorch's own CPU index.
    pip install -q "torch==$torch_version+cpu" 2>/dev/null ||
        pip install -q "torch==$torch_version" --index-url https://download.pytorch.org/whl/cpu
fi
pip install -q --constraint constraints.txt --editable ".[dev]"
echo "$wanted" >"$stamp"
