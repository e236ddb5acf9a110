"""GPUs by name: what their data sheets promise, and the share of it that a training may reach."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import InputError
from harness.model import Numerics

# Shares of the peak that short batches of an encoder reach: assumed, not measured. The faster the
# arithmetic, the more of the time goes to everything else.
ASSUMED_SHARES = {"bf16": 0.25, "tf32": 0.35, "fp32": 0.6}


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory in 10^9 bytes and peaks in TFLOP/s, dense, with sums in fp32; None: not built in.

    `words` may stand in what a device calls itself, beside the parts of the name.
    """

    name: str
    memory_gb: int
    bf16: float | None
    tf32: float | None
    fp32: float
    sheet: str
    words: str = ""

    def calls_itself(self, name: str | None) -> bool:
        """Whether a device of that name, as CUDA gives it, is one ('NVIDIA A100-SXM4-80GB').

        Any other word makes it another card: a part of one (MIG, vGPU), one for laptops, one of
        another form or memory.
        """
        own, found = set(self.name.split("-")), set(re.split("[ -]", name or ""))
        return own <= found <= own | _MAKER | set(self.words.split())


_MAKER = {"NVIDIA", "Tesla", "GeForce"}
GPUS = (
    Gpu("H200", 141, 989.4, 494.7, 66.9, "NVIDIA H200 SXM"),
    Gpu("H100", 80, 989.4, 494.7, 66.9, "NVIDIA H100 SXM", "80GB HBM3"),
    Gpu("A100-80GB", 80, 312.0, 156.0, 19.5, "NVIDIA A100 80GB", "SXM4 PCIe PCIE"),
    Gpu("A100-40GB", 40, 312.0, 156.0, 19.5, "NVIDIA A100 40GB", "SXM4 PCIe PCIE"),
    Gpu("L40S", 48, 362.05, 183.0, 91.6, "NVIDIA L40S"),
    Gpu("RTX-4090", 24, 165.2, 82.6, 82.6, "NVIDIA Ada architecture white paper"),
    Gpu("L4", 24, 121.0, 60.0, 30.3, "NVIDIA L4"),
    Gpu("V100", 32, None, None, 15.7, "NVIDIA V100 SXM2 32GB", "SXM2 32GB"),
    Gpu("T4", 16, None, None, 8.1, "NVIDIA T4"),
)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a GPU is taken to be under an arithmetic (bf16, tf32, fp32)."""

    gpu: Gpu
    arithmetic: str
    peak: float  # TFLOP/s
    share: float
    assumed: bool  # the share is nobody's measurement

    def seconds(self, flops: float) -> float:
        """Time for so many operations."""
        return flops / (self.peak * 1e12 * self.share)


def find_gpu(name: str) -> Gpu:
    """The GPU of that name, whatever the case; InputError lists the names."""
    for gpu in GPUS:
        if gpu.name.lower() == name.lower():
            return gpu
    known = ", ".join(gpu.name for gpu in GPUS)
    raise InputError(f"--gpu: '{name}' is unknown; known: {known}")


def speed_of(gpu: Gpu, numerics: Numerics, share: float | None) -> Speed:
    """Its speed in the arithmetic of a run; InputError for one that it does not have."""
    arithmetic = numerics.dtype
    if arithmetic == "fp32" and numerics.tf32 and gpu.tf32 is not None:
        arithmetic = "tf32"
    peak = {"bf16": gpu.bf16, "tf32": gpu.tf32, "fp32": gpu.fp32}[arithmetic]
    if peak is None:
        able = ", ".join(one.name for one in GPUS if one.bf16 is not None)
        raise InputError(
            f"--dtype: {gpu.name} has no {arithmetic}; plan it with --dtype fp32, or choose one "
            f"of {able}"
        )
    given = ASSUMED_SHARES[arithmetic] if share is None else share
    return Speed(gpu, arithmetic, peak, given, share is None)
