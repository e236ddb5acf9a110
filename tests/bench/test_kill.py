"""Killed and stopped runs: they go on from their checkpoints and end as if nothing had happened."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.bench.conftest import Results, Runner, Running, running

# A checkpoint every other step: most kills come after one, and some while one is written.
OFTEN = ("--checkpoint-steps", "2")
# Every ninth step: a checkpoint of another step was written because a stop was asked for.
SELDOM = ("--checkpoint-steps", "9")
CONTINUED = re.compile(r"continuing at step (\d+) of \d+")
STOPPED = "xstilts: stopped; what is finished is kept. Run the same command again to go on.\n"
PATIENCE = 10.0  # seconds for an end at once, on a machine that does other things as well
ENDED_BEFORE = "the run ended before it could be stopped"


class Killer:
    """Kills runs on one folder at random moments until one of them gets to the end."""

    def __init__(self, runner: Runner, out: Path, seed: int) -> None:
        self.runner = runner
        self.results = Results(out)
        self.rng = random.Random(seed)
        self.said = ""  # by all runs together
        self.with_checkpoint = 0  # kills that came when a training had a checkpoint
        self.kills = 0

    def kill(self, workers: int, moment: Callable[[Running], bool]) -> None:
        """Start a run and SIGKILL its first process at a moment; its workers must go too."""
        with running(self.runner, self.results.out, *OFTEN, workers=workers) as run:
            if moment(run):
                self.with_checkpoint += bool(self.results.checkpoints())
                run.kill()
                self.kills += 1
            self.said += run.err

    def kill_worker(self, workers: int) -> None:
        """Start a run, SIGKILL the worker that writes checkpoints, and let the run end."""
        with running(self.runner, self.results.out, *OFTEN, workers=workers) as run:
            assert self.in_training(run), ENDED_BEFORE
            victim = self.rng.choice([one for one in run.workers() if holds_lock(one)])
            victim.kill()
            self.kills += 1
            assert run.end() == 0, run.err
            assert "xstilts: a worker process died while doing '" in run.err
            assert "another one goes on from its last checkpoint" in run.err
            self.said += run.err

    def in_training(self, run: Running) -> bool:
        """Wait until a training has written a checkpoint that is new, and a little longer."""
        before = self.results.checkpoints()
        if not run.until(lambda: self.results.checkpoints().items() - before.items()):
            return False
        time.sleep(self.rng.uniform(0, 0.3))
        return run.process.poll() is None

    def any_time(self, run: Running) -> bool:
        """Wait for a random time from the start, which may be spent in importing or in planning."""
        end = time.monotonic() + self.rng.uniform(0, 20)
        return run.until(lambda: time.monotonic() > end)


def holds_lock(process: psutil.Process) -> bool:
    """Whether a worker is doing a step just now."""
    return any("/locks/" in file.path for file in process.open_files())


def test_a_killed_run_ends_as_an_uninterrupted_one(
    longer: Runner, finished_longer: Results, tmp_path: Path
) -> None:
    killer = Killer(longer, tmp_path / "out", seed=20)
    killer.kill(0, killer.in_training)
    killer.kill(2, killer.in_training)
    killer.kill_worker(1)
    killer.results.assert_equal(finished_longer)
    killer.results.assert_nothing_half_written()
    assert killer.kills == 3, ENDED_BEFORE
    assert killer.with_checkpoint >= 1
    assert CONTINUED.search(killer.said)
    assert "Traceback" not in killer.said
    assert not killer.results.checkpoints()


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_kills_at_many_moments(
    longer: Runner, finished_longer: Results, tmp_path: Path, seed: int
) -> None:
    killer = Killer(longer, tmp_path / "out", seed)
    for _ in range(8):
        moment = killer.rng.choice([killer.in_training, killer.in_training, killer.any_time])
        killer.kill(killer.rng.choice([0, 1, 2]), moment)
    if len(killer.results.artifacts()) < len(finished_longer.artifacts()):
        longer.finish(killer.results.out, *OFTEN, workers=killer.rng.choice([0, 2]))
    longer.finish(killer.results.out).assert_equal(finished_longer)
    killer.results.assert_nothing_half_written()
    assert killer.with_checkpoint == 0 or CONTINUED.search(killer.said)
    assert "Traceback" not in killer.said


def test_a_run_that_is_told_to_stop_leaves_a_checkpoint_and_goes_on(
    longer: Runner, finished_longer: Results, tmp_path: Path
) -> None:
    """Ctrl-C on a terminal, SIGINT and SIGTERM for the first process alone; one after another."""
    out = Results(tmp_path / "out")
    reached: dict[str, int] = {}
    asked_for: list[bool] = []

    def newer(than: dict[str, int]) -> object:
        return out.checkpoints().items() - than.items()

    stops: list[tuple[int, Callable[[Running], None], int]] = [
        (1, lambda run: run.signal_all(signal.SIGINT), 130),
        (0, lambda run: run.process.send_signal(signal.SIGTERM), 143),
        (1, lambda run: run.process.send_signal(signal.SIGINT), 130),
    ]
    for workers, stop, code in stops:
        with running(longer, out.out, *SELDOM, workers=workers) as run:
            assert run.until(partial(newer, reached)), ENDED_BEFORE
            (begun,) = out.begun()
            children = run.workers()
            assert len(children) == workers
            stop(run)
            assert run.end() == code, run.err
            assert (
                "\nxstilts: stopping: checkpoints are written first; Ctrl-C again stops" in run.err
            )
            assert run.err.endswith(STOPPED)
            assert "Traceback" not in run.err
            assert not [one for one in children if one.is_running()]
        out.assert_nothing_half_written()
        assert out.checkpoints()[begun] > reached.get(begun, 0)
        reached = out.checkpoints()
        asked_for.append(reached[begun] % 9 != 0)
    assert any(asked_for)
    done = longer.run(out.out)
    assert done.code == 0, done.err
    for step in reached.values():
        assert f"continuing at step {step} of 72" in done.err
    out.assert_equal(finished_longer)


def test_a_run_can_be_stopped_while_its_workers_start(tiny: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(tiny, out, workers=2) as run:
        assert run.until(run.workers), ENDED_BEFORE
        run.signal_all(signal.SIGINT)
        assert run.end() == 130, run.err
        assert "Traceback" not in run.err
        assert run.err.endswith("Run the same command again to go on.\n")
    Results(out).assert_nothing_half_written()


def test_a_worker_that_has_begun_nothing_is_not_waited_for(tiny: Runner, tmp_path: Path) -> None:
    """It cannot answer: it is held up, as a worker is that reads gigabytes."""
    out = Results(tmp_path / "out")
    with running(tiny, out.out, workers=2) as run:
        assert run.until(lambda: len(run.workers()) == 2), ENDED_BEFORE
        for worker in run.workers():
            worker.suspend()
        run.process.send_signal(signal.SIGINT)
        stopped = time.monotonic()
        assert run.end() == 130, run.err
        assert time.monotonic() - stopped < PATIENCE
        assert run.err.endswith(STOPPED)
    out.assert_nothing_half_written()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_wait_for_checkpoints(
    longer: Runner, finished_longer: Results, tmp_path: Path, number: int
) -> None:
    out = Results(tmp_path / "out")
    with running(longer, out.out, "--checkpoint-steps", "1", workers=1) as run:
        assert run.until(out.checkpoints), ENDED_BEFORE
        (worker,) = run.workers()
        worker.suspend()  # so that it cannot write the checkpoint that it is asked for
        run.process.send_signal(number)
        assert run.until(lambda: "stopping: checkpoints are written first" in run.err)
        time.sleep(0.5)
        assert run.process.poll() is None  # it waits for the checkpoint
        run.process.send_signal(number)
        stopped = time.monotonic()
        assert run.end() == 128 + number, run.err
        assert time.monotonic() - stopped < PATIENCE
        assert run.err.endswith(STOPPED)
        assert "Traceback" not in run.err
        assert not worker.is_running()
    out.assert_nothing_half_written()
    longer.finish(out.out).assert_equal(finished_longer)


def test_a_step_that_kills_every_worker_is_given_up(longer: Runner, tmp_path: Path) -> None:
    out = Results(tmp_path / "out")
    with running(longer, out.out, "--only", "recipe=direct", workers=1) as run:
        assert run.until(out.begun)
        run.workers()[0].kill()
        assert run.until(lambda: "another one goes on" in run.err)
        assert run.until(lambda: [one for one in run.workers() if holds_lock(one)])
        run.workers()[0].kill()
        assert run.end() == 1, run.err
        (line,) = [one for one in run.err.splitlines() if one.startswith("xstilts: error: ")]
        assert "(exit code -9), 2 times now; out of memory?" in line
        assert "run the same command again to go on" in line
    assert not out.artifacts()
    assert not (out.out / "records").exists()
