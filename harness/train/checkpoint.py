"""Checkpoints of a training: safetensors, the rest in JSON; the newest whole one is used."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from harness.canonical import canonical_json, digest, file_digest

_STATE, _TENSORS = "state.json", "tensors.safetensors"
_PAUSE = 10  # times what a save took, before time asks for the next one: 9 GB may take a minute
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stopwatch:
    """Wall and CPU seconds since it was made, and those that earlier processes needed."""

    _wall: float = 0.0
    _cpu: float = 0.0
    _earlier: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> dict[str, float]:
        """`wall_seconds` and `cpu_seconds`, as costs have them."""
        now = {
            "wall_seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
        }
        return {name: value + self._earlier.get(name, 0.0) for name, value in now.items()}

    def add(self, earlier: Mapping[str, float]) -> None:
        """Count what `seconds` said in a process that has ended."""
        self._earlier = dict(earlier)


@dataclass(slots=True)
class Checkpointer:
    """Writes a checkpoint every `every_steps` steps or `every_seconds` seconds, as given.

    What time asks for waits until at most a tenth of it goes into saving. A checkpoint holds what
    the stopwatch says, and loading it makes the stopwatch go on from there.
    """

    folder: Path
    every_seconds: float | None = 60.0
    every_steps: int | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _last: float = 0.0
    _took: float = 0.0

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a checkpoint should be written after this many steps."""
        if self.every_steps is not None and step % self.every_steps == 0:
            return True
        waited = time.monotonic() - self._last
        return self.every_seconds is not None and waited >= max(
            self.every_seconds, _PAUSE * self._took
        )

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Make the checkpoint of `step` visible by one rename, then drop older ones."""
        started = time.monotonic()
        for left in self.folder.glob("partial-*"):  # by a run that was killed while writing it
            shutil.rmtree(left, ignore_errors=True)
        partial = self.folder / f"partial-{os.getpid()}"
        partial.mkdir(parents=True)
        try:
            save_file(tensors, partial / _TENSORS)
            body = {
                "step": step,
                "tensors": file_digest(partial / _TENSORS),
                "state": state,
                "spent": self.stopwatch.seconds(),
            }
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
        self._took = self._last - started

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest checkpoint that matches its hashes, or None; damaged ones are removed."""
        for folder in reversed(self._found()):
            problem = _problem(folder)
            if problem is None:
                body: dict[str, Any] = json.loads((folder / _STATE).read_bytes())
                self.stopwatch.add(body["spent"])
                return load_file(folder / _TENSORS), body["state"]
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
        named = {name: body[name] for name in ("step", "tensors", "state", "spent")}
        if raw != canonical_json(body) or body["digest"] != digest(named):
            return f"{_STATE} was changed"
        if file_digest(folder / _TENSORS) != body["tensors"]:
            return f"{_TENSORS} does not match its hash"
    except (OSError, ValueError, KeyError, TypeError):
        return "a file of it is missing or unreadable"
    return None
