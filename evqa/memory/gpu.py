"""The GPU that is here, asked of the driver's own tool: no torch, no CUDA context."""

import shutil
import subprocess
from dataclasses import dataclass

MIB = 2**20
GIB = 2**30
BF16_COMPUTE_CAPABILITY = 8.0  # Ampere; older cards emulate bf16 slowly
FLASH_COMPUTE_CAPABILITY = 8.0
QUERY = "name,memory.total,memory.free,compute_cap"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        total_gib: Nominal memory.
        free_gib: What other programs leave.
        compute_capability: Decides arithmetic type and attention kernel.
    """

    name: str
    total_gib: float
    free_gib: float
    compute_capability: float

    @property
    def has_bf16(self) -> bool:
        """Whether bf16 is fast here."""
        return self.compute_capability >= BF16_COMPUTE_CAPABILITY

    @property
    def has_flash_attention(self) -> bool:
        """Whether fused attention runs here."""
        return self.compute_capability >= FLASH_COMPUTE_CAPABILITY


def read_gpu() -> Gpu | None:
    """Return the first visible GPU, None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603  fixed arguments
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_gpu(done.stdout) if done.returncode == 0 else None


def parse_gpu(text: str) -> Gpu | None:
    """Read the tool's first line: name, MiB in all, MiB free, compute capability."""
    first = text.strip().partition("\n")[0]
    parts = [part.strip() for part in first.rsplit(",", 3)]
    try:
        name, total, free, capability = parts
        return Gpu(name, float(total) * MIB / GIB, float(free) * MIB / GIB, float(capability))
    except ValueError:
        return None
