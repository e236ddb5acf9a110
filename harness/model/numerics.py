"""Device, precision, threads, determinism: all of arithmetic that can change a number."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

import torch
from threadpoolctl import threadpool_limits

from harness.errors import InputError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Numerics:
    """A resolved choice; `device` is cpu or cuda:N, never auto."""

    device: str = "cpu"
    dtype: str = "fp32"
    threads: int = 1
    tf32: bool = False
    deterministic: bool = True

    def identity(self) -> dict[str, str | int | bool]:
        """What stands in keys and signatures: the kind of device (cpu, cuda), not which of them.

        GPUs of one model give the same numbers; a record's environment names the GPU.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "device": self.torch_device.type}

    @property
    def torch_device(self) -> torch.device:
        """The device as torch knows it."""
        return torch.device(self.device)

    @property
    def frozen_dtype(self) -> torch.dtype:
        """That of matrices which are not trained: they need not be cast to `dtype` in each pass."""
        return DTYPES[self.dtype]

    @property
    def gpu_name(self) -> str | None:
        """What the GPU calls itself; None on a CPU."""
        return None if self.device == "cpu" else torch.cuda.get_device_name(self.torch_device)

    def apply(self) -> None:
        """Set the process-wide switches of torch, and of the BLAS that numpy mines with."""
        torch.set_num_threads(self.threads)
        threadpool_limits(self.threads, user_api="blas")
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32
        if self.device != "cpu" and self.deterministic:
            # cuBLAS reads this once, at its first call; warn_only would hide what is not
            # reproducible
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(self.deterministic)

    def autocast(self) -> torch.autocast:
        """Mixed precision for bf16, nothing for fp32."""
        return torch.autocast(
            self.torch_device.type, dtype=torch.bfloat16, enabled=self.dtype == "bf16"
        )


def resolve_numerics(
    device: str = "auto",
    dtype: str = "fp32",
    threads: int = 1,
    *,
    tf32: bool = False,
    deterministic: bool = True,
) -> Numerics:
    """Check a choice against this machine; `auto` takes cuda:0 where CUDA answers, else the CPU."""
    if dtype not in DTYPES:
        raise InputError(f"--dtype: '{dtype}' is not one of {', '.join(DTYPES)}")
    if threads < 1:
        raise InputError(f"--threads: {threads} is not a positive number")
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = "cuda:0"
    if device != "cpu":
        known = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if device not in known:
            allowed = ", ".join(["auto", "cpu", *known])
            raise InputError(f"--device: '{device}' is not on this machine; allowed: {allowed}")
    return Numerics(device, dtype, threads, tf32, deterministic)
