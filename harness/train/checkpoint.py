"""Checkpoints of a training: safetensors, the rest in JSON; the newest whole one is used."""

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

from harness.canonical import canonical_json, digest, file_digest

_STATE, _TENSORS = "state.json", "tensors.safetensors"
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Checkpointer:
    """Writes a checkpoint every `every_steps` steps or `every_seconds` seconds, as given."""

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
        for left in self.folder.glob("partial-*"):  # by a run that was killed while writing it
            shutil.rmtree(left, ignore_errors=True)
        partial = self.folder / f"partial-{os.getpid()}"
        partial.mkdir(parents=True)
        try:
            save_file(tensors, partial / _TENSORS)
            body = {"step": step, "tensors": file_digest(partial / _TENSORS), "state": state}
            (partial / _STATE).write_bytes(canonical_json({**body, "digest": digest(body)}))
            final = self.folder / f"step-{step:09d}"
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for old in self._found():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest checkpoint that matches its hashes, or None; damaged ones are removed."""
        for folder in reversed(self._found()):
            problem = _problem(folder)
            if problem is None:
                state: dict[str, Any] = json.loads((folder / _STATE).read_bytes())["state"]
                return load_file(folder / _TENSORS), state
            log.warning(
                "%s: the checkpoint of %s is damaged (%s); it is not used",
                self.folder.name,
                folder.name,
                problem,
            )
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def _problem(folder: Path) -> str | None:
    """None if the checkpoint is whole, else what is wrong with it."""
    try:
        raw = (folder / _STATE).read_bytes()
        body: dict[str, Any] = json.loads(raw)
        named = {name: body[name] for name in ("step", "tensors", "state")}
        if raw != canonical_json(body) or body["digest"] != digest(named):
            return f"{_STATE} was changed"
        if file_digest(folder / _TENSORS) != body["tensors"]:
            return f"{_TENSORS} does not match its hash"
    except (OSError, ValueError, KeyError, TypeError):
        return "a file of it is missing or unreadable"
    return None
