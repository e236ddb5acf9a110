"""Checkpoints of a training: tensors in safetensors, the rest in JSON, the newest whole one wins."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from harness.canonical import canonical_json, file_digest

_STATE, _TENSORS = "state.json", "tensors.safetensors"
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Checkpointer:
    """Writes a checkpoint every `every_steps` steps or `every_seconds` seconds, whichever is given."""

    folder: Path
    every_seconds: float | None = 60.0
    every_steps: int | None = None
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a checkpoint should be written after this many steps."""
        if self.every_steps is not None and step % self.every_steps == 0:
            return True
        waited = time.monotonic() - self._last
        return self.every_seconds is not None and waited >= self.every_seconds

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Make the checkpoint of `step` visible by one rename, then drop older ones."""
        partial = self.folder / f"partial-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(tensors, partial / _TENSORS)
        body = {"step": step, "tensors": file_digest(partial / _TENSORS), "state": state}
        (partial / _STATE).write_bytes(canonical_json(body))
        final = self.folder / f"step-{step:09d}"
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in self._found():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest checkpoint whose tensors match their hash, or None; damaged ones are removed."""
        for folder in reversed(self._found()):
            try:
                body = json.loads((folder / _STATE).read_bytes())
                if file_digest(folder / _TENSORS) != body["tensors"]:
                    raise ValueError("the tensors do not match their hash")
                return load_file(folder / _TENSORS), body["state"]
            except (OSError, ValueError, KeyError) as error:
                log.warning("%s: damaged checkpoint set aside: %s", folder.name, error)
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
