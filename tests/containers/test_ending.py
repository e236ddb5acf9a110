"""What the engine says late of a container that ended; with a container that is made up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.containers import ending, sandbox
from harness.containers.ending import state_at_end
from harness.containers.profile import Limits
from harness.containers.run import Job, _attend
from harness.containers.sandbox import _watch
from harness.errors import WorkError

JOB = Job([], Path(), [], [], network=False, memory_bytes=64 << 20)


@dataclass
class Clock:
    """Time that passes in `sleep` alone."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Ended:
    """A container that ended with this exit code; `late` is when memory is said to have run out."""

    clock: Clock
    code: int
    late: float | None
    attrs: dict[str, Any] = field(default_factory=dict)
    killed: list[int] = field(default_factory=list)

    def start(self) -> None:
        pass

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self.code}

    def kill(self, number: int) -> None:
        self.killed.append(number)

    def reload(self) -> None:
        said = self.late is not None and self.clock.now >= self.late
        self.attrs = {"State": {"Running": False, "ExitCode": self.code, "OOMKilled": said}}


class Silent:
    """Its streams, on which it said nothing."""

    def frames(self, until: float | None) -> Iterator[tuple[int, bytes]]:
        return iter(())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ending, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("code", "late", "said", "longest"),
    [
        (137, 0.0, True, 0.0),
        (137, 1.5, True, 1.6),
        (137, None, False, 2.1),
        (1, 0.8, True, 0.9),  # the kernel killed a child, and its parent gave up
        (1, None, False, 1.1),  # an ordinary failure is not slow
        (0, 0.2, False, 0.0),
    ],
)
def test_a_failure_is_asked_for_its_reason_for_a_while(
    clock: Clock, code: int, late: float | None, said: bool, longest: float
) -> None:
    assert state_at_end(Ended(clock, code, late))["OOMKilled"] is said
    assert clock.now <= longest


@pytest.mark.parametrize("code", [137, 1])
def test_the_sandbox_and_the_bench_hear_of_it(clock: Clock, code: int) -> None:
    outcome = _watch(Ended(clock, code, 0.2), Silent(), Limits(memory_bytes=64 << 20))
    assert (outcome.status, outcome.exit_code) == ("memory", code)
    later = Ended(clock, code, clock.now + 0.2)
    with pytest.raises(WorkError, match="reached its memory limit of 64 MiB"):
        _attend(later, Silent(), JOB, [])


def test_waiting_is_no_time_of_the_program(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "time", clock)
    outcome = _watch(Ended(clock, 1, None), Silent(), Limits())
    assert outcome.status == "failed"
    assert outcome.wall_seconds == 0 < clock.now


def test_bad_input_is_not_waited_for(clock: Clock) -> None:
    assert _attend(Ended(clock, 2, None), Silent(), JOB, []) == 2
    assert clock.now == 0


def test_what_the_third_signal_killed_is_not_waited_for(clock: Clock) -> None:
    container = Ended(clock, 137, None)
    assert _attend(container, Silent(), JOB, [signal.SIGINT] * 3) == 137
    assert container.killed == [signal.SIGINT, signal.SIGINT, signal.SIGKILL]
    assert clock.now == 0
