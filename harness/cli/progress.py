"""Progress of a run for people: a rewritten line on a terminal, else a line per finished step."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.bench import Plan, Step

TERMINAL_VARIABLE = "XSTILTS_TERMINAL"

_LOGGED_SECONDS = 30.0  # how often a line without a terminal says what is going on


@dataclass(slots=True)
class TerminalProgress:
    """An Observer that prints to stderr; the time left is estimated from the steps' costs."""

    plan: Plan
    done_before: int
    missing_cost: float
    quiet: bool = False
    _finished_cost: float = 0.0
    _finished: int = 0
    _partial: dict[tuple[str, str], float] = field(default_factory=dict)
    _start: float = field(default_factory=time.monotonic)
    _last_line: float = field(default_factory=time.monotonic)
    _shown: bool = False

    def started(self, step: Step) -> None:
        """Remember that the step runs."""
        self._partial[step.id] = 0.0

    def progressed(self, step: Step, done: int, total: int, loss: float | None) -> None:
        """Show where the step is."""
        self._partial[step.id] = done / max(1, total)
        text = f"{step.label}: {done}/{total}" + (f" loss {loss:.3f}" if loss is not None else "")
        self._show(text)

    def finished(self, step: Step) -> None:
        """Count the step as done."""
        self._partial.pop(step.id, None)
        self._finished += 1
        self._finished_cost += step.cost
        if self.quiet:
            return
        if on_terminal():
            self._show(f"{step.label}: done")
        else:
            click.echo(f"{self._prefix()} {step.label}", err=True)
            self._last_line = time.monotonic()

    def close(self) -> None:
        """End the rewritten line."""
        if self._shown:
            click.echo("", err=True)
            self._shown = False

    def _show(self, text: str) -> None:
        if self.quiet:
            return
        line = f"{self._prefix()} {text}"
        if on_terminal():
            width = shutil.get_terminal_size().columns - 1
            click.echo("\r" + line[:width].ljust(width), err=True, nl=False)
            self._shown = True
        elif time.monotonic() - self._last_line > _LOGGED_SECONDS:
            click.echo(line, err=True)
            self._last_line = time.monotonic()

    def _prefix(self) -> str:
        total = len(self.plan.steps)
        return f"[{self.done_before + self._finished}/{total}{self._left()}]"

    def _left(self) -> str:
        running = sum(
            self.plan.steps[step_id].cost * share for step_id, share in self._partial.items()
        )
        done = self._finished_cost + running
        elapsed = time.monotonic() - self._start
        # Too early an estimate is a guess: workers start and costs are only relative.
        if done <= 0.02 * self.missing_cost or elapsed < 5:
            return ""
        return f", {duration(elapsed * (self.missing_cost - done) / done)} left"


def on_terminal() -> bool:
    """Whether stderr ends at a terminal, here or (TERMINAL_VARIABLE) where our client runs."""
    return sys.stderr.isatty() or os.environ.get(TERMINAL_VARIABLE) == "1"


class ClickHandler(logging.Handler):
    """What the library logs as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record."""
        if on_terminal():
            click.echo("\r", err=True, nl=False)
        click.echo(f"xstilts: {record.getMessage()}", err=True)


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size(number: float) -> str:
    """Bytes for people."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
