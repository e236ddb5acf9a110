"""The local executor: worker processes that take steps as they become ready; it survives their deaths."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from harness.bench.data import SuiteData
from harness.bench.plan import Plan
from harness.bench.steps import Settings, Step
from harness.bench.store import Store
from harness.errors import InputError, WorkError, XstiltsError

_POLL_SECONDS = 0.2
_REPORT_SECONDS = 0.2
log = logging.getLogger(__name__)


class Observer(Protocol):
    """Who wants to know how a run goes (the command line)."""

    def started(self, step: Step) -> None:
        """A step was begun."""

    def progressed(self, step: Step, done: int, total: int, loss: float | None) -> None:
        """A step did `done` of `total` optimizer steps or examples."""

    def finished(self, step: Step) -> None:
        """A step's artifact is in the store."""


@dataclass(slots=True)
class _Hand:
    """One worker process as its parent sees it."""

    process: BaseProcess
    pipe: Connection
    step: Step | None = None


@dataclass(slots=True)
class LocalExecutor:
    """Runs the missing steps of a plan on this machine with `workers` processes (0: in this process)."""

    settings: Settings
    data: SuiteData
    workers: int
    observer: Observer
    _hands: list[_Hand] = field(default_factory=list)

    def run(self, plan: Plan) -> None:
        """Do all steps of the plan; KeyboardInterrupt stops cleanly, leaving checkpoints."""
        store = Store(self.settings.store)
        store.create()
        missing = {step_id: s for step_id, s in plan.steps.items() if step_id not in plan.done(store)}
        if not missing:
            return
        if self.workers == 0:
            self._run_here(missing)
            return
        try:
            self._start(min(self.workers, len(missing)))
            self._schedule(missing)
        finally:
            self._stop()

    def _run_here(self, missing: Mapping[tuple[str, str], Step]) -> None:
        from harness.bench.work import Worker  # noqa: PLC0415  (torch loads only where steps run)

        for step in missing.values():
            self.observer.started(step)

            def report(done: int, total: int, loss: float | None, step: Step = step) -> None:
                self.observer.progressed(step, done, total, loss)

            worker = Worker(self.settings, self.data, on_progress=report)
            while not worker.run(step):
                time.sleep(_POLL_SECONDS)
            self.observer.finished(step)

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=worker_main, args=(theirs, self.settings, self.data.portable()), daemon=True
            )
            process.start()
            theirs.close()
            self._hands.append(_Hand(process, ours))

    def _schedule(self, missing: dict[tuple[str, str], Step]) -> None:
        waiting = dict(missing)
        busy_until: dict[tuple[str, str], float] = {}
        while waiting or any(hand.step for hand in self._hands):
            running = {hand.step.id for hand in self._hands if hand.step}
            blocked = set(waiting) | running
            now = time.monotonic()
            ready = [
                step
                for step in waiting.values()
                if not blocked.intersection(step.needs) and busy_until.get(step.id, 0) <= now
            ]
            # The longest path first would be better; the longest step first is nearly as good here.
            ready.sort(key=lambda step: -step.cost)
            for hand in self._hands:
                if hand.step is None and ready:
                    step = ready.pop(0)
                    hand.step = waiting.pop(step.id)
                    hand.pipe.send(step)
                    self.observer.started(step)
            for pipe in wait([hand.pipe for hand in self._hands], timeout=_POLL_SECONDS):
                hand = next(h for h in self._hands if h.pipe is pipe)
                self._receive(hand, waiting, busy_until)

    def _receive(
        self,
        hand: _Hand,
        waiting: dict[tuple[str, str], Step],
        busy_until: dict[tuple[str, str], float],
    ) -> None:
        step = hand.step
        try:
            kind, *details = hand.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            hand.process.join(5)
            what = f"while doing '{step.label}'" if step else "at its start"
            raise WorkError(
                f"a worker process died {what} (exit code {hand.process.exitcode}); out of memory? "
                "Finished steps are kept: run the same command again to go on"
            ) from error
        assert step is not None or kind == "failed"
        if kind == "progress" and step:
            self.observer.progressed(step, *details)
        elif kind == "busy" and step:
            # Another process is doing this step: come back to it, do others meanwhile.
            waiting[step.id] = step
            busy_until[step.id] = time.monotonic() + _POLL_SECONDS
            hand.step = None
        elif kind == "done" and step:
            hand.step = None
            self.observer.finished(step)
        elif kind == "failed":
            message, exit_code = details
            where = f"{step.label}: " if step else ""
            raise (InputError if exit_code == InputError.exit_code else WorkError)(where + message)

    def _stop(self) -> None:
        """Ask workers to stop (they write a checkpoint), wait a little, then make them."""
        for hand in self._hands:
            if hand.step is not None and hand.process.is_alive():
                hand.process.terminate()
            hand.pipe.close()
        for hand in self._hands:
            hand.process.join(20)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
        self._hands.clear()


def worker_main(pipe: Connection, settings: Settings, data: SuiteData) -> None:
    """A worker process: do the steps that come through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = os.getppid()
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    last = 0.0

    def should_stop() -> bool:
        return bool(stop) or os.getppid() != parent

    def report(done: int, total: int, loss: float | None) -> None:
        nonlocal last
        if should_stop() and loss is None:
            raise SystemExit(1)  # predicting has no checkpoint to write
        if time.monotonic() - last > _REPORT_SECONDS:
            last = time.monotonic()
            pipe.send(("progress", done, total, loss))

    try:
        _serve(pipe, settings, data, report, should_stop)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def _serve(
    pipe: Connection, settings: Settings, data: SuiteData, report: Any, should_stop: Any
) -> None:
    from harness.bench.work import Worker  # noqa: PLC0415  (torch loads only where steps run)
    from harness.train import Interrupted  # noqa: PLC0415

    worker = Worker(settings, data, report, should_stop)
    while not should_stop():
        step = pipe.recv()
        try:
            pipe.send(("done",) if worker.run(step) else ("busy",))
        except Interrupted:
            return
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            log.debug("step failed", exc_info=True)
            pipe.send(("failed", *explain(error, settings.store)))
            return


def explain(error: Exception, place: Path) -> tuple[str, int]:
    """An error as one line for people, and its exit code."""
    if isinstance(error, XstiltsError):
        return str(error), error.exit_code
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) or "No space left" in text or "os error" in text:
        return f"{place}: {text}; free space or choose another --out, then run again", 1
    return f"{type(error).__name__}: {text} (--debug shows where)", 1


def default_workers(settings: Settings, cores: int) -> int:
    """One worker per GPU run; on the CPU as many as there are cores for their threads."""
    if settings.numerics.device != "cpu":
        return 1
    return max(1, cores // settings.numerics.threads)


def with_threads(settings: Settings, threads: int) -> Settings:
    """The settings with another number of threads a worker."""
    return replace(settings, numerics=replace(settings.numerics, threads=threads))
