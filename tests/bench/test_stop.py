"""Stopping while something is predicted, where nothing is waited for, and ends of a pipe."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from harness.bench import Bench, LocalExecutor, Settings, Store
from harness.bench.local import _Hand, worker_main
from harness.bench.work import Worker
from harness.catalog import Catalog, default_directory
from harness.model import Numerics
from tests.bench.conftest import Results, Runner, xstilts


class Process:
    """A worker process that is busy; notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def terminate(self) -> None:
        self.done.append("asked to stop")

    def kill(self) -> None:
        self.done.append("killed")

    def join(self, timeout: float | None = None) -> None:
        self.done.append("waited for")


class Pipe:
    """The parent's end of a pipe on which nothing comes."""

    def poll(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("kind", "first"), [("predict", "killed"), ("fit", "asked to stop")])
def test_only_what_can_write_a_checkpoint_is_asked_to(
    tiny: Runner, tmp_path: Path, kind: str, first: str
) -> None:
    catalog = Catalog.load([default_directory(), tiny.catalog])
    settings = Settings(tmp_path / "store", None, "refuse", Numerics())
    bench = Bench(catalog, catalog.suite("tiny"), settings, tmp_path / "out")
    step = next(step for step in bench.plan().steps.values() if step.kind == kind)
    process: Any = Process()
    pipe: Any = Pipe()
    observer: Any = None
    executor = LocalExecutor(settings, bench.data, 1, observer)
    executor._hands.append(_Hand(process, pipe, step, begun=True))
    executor._stop(Store(settings.store))
    assert process.done[:2] == [first, "waited for"]


def test_the_first_signal_ends_a_prediction_in_this_process(
    tiny: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine(*_: object) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)  # as mining does, which asks nobody whether to go on
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(Worker, "_predict", mine)
    out = Results(tmp_path / "out")
    done = xstilts(*tiny.arguments(out.out))
    assert done.code == 130, done.err
    assert "Run the same command again to go on" in done.err
    out.assert_nothing_half_written()
    monkeypatch.undo()
    assert xstilts(*tiny.arguments(out.out)).code == 0


@pytest.mark.parametrize("sent", [b"", struct.pack("!i", 1000) + b"the beginning of a message"])
def test_a_worker_whose_parent_was_killed_while_it_sent_ends_in_silence(
    sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=worker_main, args=(theirs,))
    process.start()
    theirs.close()
    os.write(ours.fileno(), sent)
    ours.close()
    process.join(60)
    assert process.exitcode == 0
    assert capfd.readouterr().err == ""
