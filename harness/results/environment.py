"""The `environment` block of a record: versions, commit, hardware; without importing torch."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import harness
from harness.machine import total_memory, usable_cores

# Packages that can change a number; anything else is in the lock file of the commit.
PACKAGES = (
    "adapters", "accelerate", "datasets", "numpy", "ray", "safetensors", "sentencepiece",
    "seqeval", "tokenizers", "torch", "transformers",
)  # fmt: skip
_TIMEOUT = 10.0  # seconds, for git and nvidia-smi


# Inside an image of ours: what it was built from, and the digest it was started by.
_IMAGE_FILE = Path("/xstilts/image.json")
IMAGE_VARIABLE = "XSTILTS_IMAGE"


def environment(*, gpu: str | None = None) -> dict[str, Any]:
    """Where this process runs; `gpu` is the device's name, and nvidia-smi is asked without it.

    What cannot be found out is null, never guessed.
    """
    image = _image()
    git = image.pop("git") if image else git_state(Path(harness.__file__).resolve().parent.parent)
    return {
        "python": platform.python_version(),
        "packages": _packages(),
        "git": git,
        "image": image,
        "hardware": {
            "cpu": _cpu(),
            "cores": usable_cores(),
            "memory_bytes": total_memory(),
            "gpu": gpu or gpu_names(),
        },
        "platform": platform.platform(),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _packages() -> dict[str, str]:
    found = {"xstilts": harness.__version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a package that is not installed changed no number
    return found


def _image() -> dict[str, Any] | None:
    """What the image says of itself (it is part of its content), and its digest."""
    if not _IMAGE_FILE.is_file():
        return None
    told: dict[str, Any] = json.loads(_IMAGE_FILE.read_bytes())
    return {"digest": os.environ.get(IMAGE_VARIABLE), **told}


def git_state(root: Path, paths: Sequence[str] = ()) -> dict[str, Any] | None:
    """Commit and dirtiness (of these paths) of a checkout; None where it is none, or no git."""
    if not (root / ".git").exists():
        return None
    status = _run(["git", "-C", str(root), "status", "--porcelain", "--", *paths])
    if status is None:
        return None
    commit = _run(["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"])
    return {"commit": commit or None, "dirty": bool(status)}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), "") or platform.processor() or platform.machine() or "unknown"


def gpu_names() -> str | None:
    """The NVIDIA GPUs of this machine by nvidia-smi; None where none answers."""
    if shutil.which("nvidia-smi") is None:
        return None
    names = _run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ", ".join(line.strip() for line in names.splitlines()) or None if names else None


def _run(command: list[str]) -> str | None:
    # GIT_DIR and its like would make git speak of another repository (as inside a hook).
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=True, env=variables
        )
    except (OSError, subprocess.SubprocessError):
        return None  # not there, failed or too slow: the record says null
    return done.stdout.strip()
