"""The local executor: worker processes take steps as they become ready; one may die."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from harness.bench.data import SuiteData
from harness.bench.plan import Plan
from harness.bench.steps import PredictWork, Settings, Step
from harness.bench.store import Store
from harness.errors import InputError, WorkError, XstiltsError

_POLL_SECONDS = 0.2
_REPORT_SECONDS = 0.2
_STOP_SECONDS = 120.0  # for all workers to end their optimizer steps and write checkpoints
_STOPPING = "stopping: checkpoints are written first; Ctrl-C again stops at once"
_DEATHS = 2  # of workers at one step, before it is given up
_GONE = (EOFError, BrokenPipeError, ConnectionResetError)  # what a pipe says of its other end
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
    begun: bool = False  # whether its step got so far that stopping it at once would lose something


@dataclass(slots=True)
class LocalExecutor:
    """Runs the missing steps of a plan with `workers` processes here (0: in this process)."""

    settings: Settings
    data: SuiteData
    workers: int
    observer: Observer
    _hands: list[_Hand] = field(default_factory=list)
    _deaths: Counter[tuple[str, str] | None] = field(default_factory=Counter)

    def run(self, plan: Plan) -> None:
        """Do all steps of the plan; KeyboardInterrupt stops cleanly, leaving checkpoints."""
        store = Store(self.settings.store)
        store.create()
        missing = {}
        for step_id, step in plan.steps.items():
            if store.get(*step_id) is None:
                missing[step_id] = step
            else:
                store.tidy(*step_id)
        if not missing:
            return
        if self.settings.prefix_cache is not None:
            from harness.bench.prefix_plan import check_room  # noqa: PLC0415  (torch, as above)

            check_room(plan, missing.values(), self.data, self.settings)
        if self.workers == 0:
            self._run_here(missing)
            return
        try:
            self._start(min(self.workers, len(missing)))
            self._schedule(missing)
        except KeyboardInterrupt:
            log.warning(_STOPPING)
            raise
        finally:
            self._stop(store)

    def _run_here(self, missing: Mapping[tuple[str, str], Step]) -> None:
        from harness.bench.work import Worker  # noqa: PLC0415  (torch loads only where steps run)
        from harness.train import Interrupted  # noqa: PLC0415

        predicting = False
        with _noticed_signals(at_once=lambda: predicting) as stop:
            worker = Worker(self.settings, self.data, should_stop=lambda: bool(stop))
            for step in missing.values():
                worker.on_progress = partial(self.observer.progressed, step)
                self.observer.started(step)
                predicting = not _has_checkpoints(step)
                try:
                    while not stop and not worker.run(step):
                        time.sleep(_POLL_SECONDS)  # another process is doing it
                except Interrupted:
                    pass
                except Exception as error:
                    if _is_of_the_disk(error):
                        message, _ = explain(error, self.settings.store)
                        raise WorkError(f"{step.label}: {message}") from error
                    raise
                if stop:
                    raise KeyboardInterrupt(stop[0])
                self.observer.finished(step)

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # where it starts later, it lifts the mask
        new = []
        # A new process inherits the mask: Ctrl-C cannot hit it before it says that it ignores it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=worker_main, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
                new.append(_Hand(process, ours))
                self._hands.append(new[-1])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # Not an argument: what does not fit into a pipe is waited for, and Ctrl-C must end that.
        work = (self.settings, self.data.portable())
        for hand in new:
            with suppress(*_GONE):  # receiving from it will say that it died
                hand.pipe.send(work)

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
                    hand.step, hand.begun = waiting.pop(step.id), False
                    with suppress(*_GONE):  # receiving from it will say that it died
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
            kind, *details = _received(hand.pipe)
        except _GONE:
            self._replace(hand, waiting)
            return
        if kind == "log":
            level, message = details
            log.log(level, "%s", f"{step.label}: {message}" if step else message)
        elif kind == "progress" and step:
            hand.begun = True
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

    def _replace(self, hand: _Hand, waiting: dict[tuple[str, str], Step]) -> None:
        """Put a new worker in the place of a dead one, unless its step kills every worker."""
        step = hand.step
        hand.process.join(5)
        what = f"while doing '{step.label}'" if step else "at its start"
        died = f"a worker process died {what} (exit code {hand.process.exitcode})"
        self._deaths[step.id if step else None] += 1
        if self._deaths[step.id if step else None] >= _DEATHS:
            raise WorkError(
                f"{died}, {_DEATHS} times now; out of memory? "
                "Finished steps are kept: run the same command again to go on"
            )
        log.warning("%s; another one goes on from its last checkpoint", died)
        hand.pipe.close()
        self._hands.remove(hand)
        if step is not None:
            waiting[step.id] = step
        self._start(1)

    def _stop(self, store: Store) -> None:
        """Ask workers to stop (they write a checkpoint), wait for them, then make them.

        Whoever still loads, or predicts, has nothing to lose; a second signal ends the waiting.
        """
        try:
            for hand in self._hands:
                if hand.step is not None and _has_checkpoints(hand.step) and _has_begun(hand):
                    hand.process.terminate()
                else:
                    hand.process.kill()
                hand.pipe.close()
            end = time.monotonic() + _STOP_SECONDS
            for hand in self._hands:
                hand.process.join(max(0.0, end - time.monotonic()))
        finally:
            for hand in self._hands:
                hand.process.kill()
            for hand in self._hands:
                hand.process.join()
                if hand.step is not None:
                    store.drop_unfinished(*hand.step.id)
            self._hands.clear()


def _received(pipe: Connection) -> Any:
    """The next message; EOFError if the other side ended, also in the middle of it."""
    try:
        return pipe.recv()
    except OSError as error:
        if error.errno is None:  # multiprocessing's own: "got end of file during message"
            raise EOFError(str(error)) from error
        raise


def _has_checkpoints(step: Step) -> bool:
    """Whether stopping the step at once would lose what a checkpoint can keep."""
    return not isinstance(step.work, PredictWork)


def _has_begun(hand: _Hand) -> bool:
    """Whether its step has got anywhere; what it has said and nobody heard counts."""
    with suppress(*_GONE):
        while not hand.begun and hand.pipe.poll():
            hand.begun = _received(hand.pipe)[0] == "progress"
    return hand.begun


@contextmanager
def _noticed_signals(at_once: Callable[[], bool]) -> Iterator[list[int]]:
    """SIGINT and SIGTERM seen so far: the first lets a checkpoint be written, a second stops.

    Where `at_once` says so, the first one stops.
    """
    seen: list[int] = []

    def notice(number: int, _: object) -> None:
        seen.append(number)
        if len(seen) > 1 or at_once():
            raise KeyboardInterrupt(number)
        with suppress(RuntimeError):  # it came in the middle of another line
            log.warning(_STOPPING)

    if threading.current_thread() is not threading.main_thread():
        yield seen  # only the main thread can handle signals
        return
    before = {number: signal.signal(number, notice) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _PipeHandler(logging.Handler):
    """Sends what a worker logs to its parent, which prints or stores it."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.INFO)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record."""
        with suppress(*_GONE):
            self._pipe.send(("log", record.levelno, record.getMessage()))


def worker_main(pipe: Connection) -> None:
    """A worker process: settings and data come through the pipe, then steps until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = os.getppid()
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    logger = logging.getLogger("harness")
    logger.setLevel(logging.INFO)
    logger.handlers, logger.propagate = [_PipeHandler(pipe)], False
    last = 0.0

    def begin() -> None:
        nonlocal last
        last = 0.0

    def should_stop() -> bool:
        return bool(stop) or os.getppid() != parent

    def report(done: int, total: int, loss: float | None) -> None:
        nonlocal last
        # The first one of a step is never left out: the parent learns from it that it has begun.
        if time.monotonic() - last > _REPORT_SECONDS and not should_stop():
            last = time.monotonic()
            try:
                pipe.send(("progress", done, total, loss))
            except _GONE:
                stop.append(True)  # the parent is gone: write a checkpoint, as for any other stop
        if should_stop() and loss is None:
            raise SystemExit(1)  # predicting has no checkpoint to write

    with suppress(*_GONE):  # the parent is gone
        settings, data = _received(pipe)
        _serve(pipe, settings, data, begin, report, should_stop)


def _serve(
    pipe: Connection,
    settings: Settings,
    data: SuiteData,
    begin: Any,
    report: Any,
    should_stop: Any,
) -> None:
    from harness.bench.work import Worker  # noqa: PLC0415  (torch loads only where steps run)
    from harness.train import Interrupted  # noqa: PLC0415

    worker = Worker(settings, data, report, should_stop)
    while not should_stop():
        step = _received(pipe)
        begin()
        try:
            pipe.send(("done",) if worker.run(step) else ("busy",))
        except Interrupted:
            return
        except _GONE:
            raise
        except Exception as error:
            pipe.send(("failed", *explain(error, settings.store)))
            return


def explain(error: Exception, place: Path) -> tuple[str, int]:
    """An error as one line for people, and its exit code."""
    if isinstance(error, XstiltsError):
        return str(error), error.exit_code
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if _is_of_the_disk(error):
        return f"{place}: {text}; free space or choose another --out, then run again", 1
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__} at {frame.filename}:{frame.lineno}: {text}", 1


def _is_of_the_disk(error: Exception) -> bool:
    """Whether reading or writing failed; safetensors has an error of its own for that."""
    return isinstance(error, OSError) or "os error" in str(error) or "No space left" in str(error)
