"""Errors meant for people: one line with the place, the value, what is allowed, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class XstiltsError(Exception):
    """Base of every error that the command line prints as one line instead of a traceback."""

    exit_code = 1


class InputError(XstiltsError):
    """Wrong usage or invalid input (exit code 2): nothing was written."""

    exit_code = 2


class InputErrors(InputError):
    """Several independent things are wrong: a line for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)

    def __reduce__(self) -> tuple[type[InputErrors], tuple[tuple[str, ...]]]:
        return InputErrors, (self.lines,)


class WorkError(XstiltsError):
    """The work itself failed (exit code 1): disk full, read-only folder, a worker that died."""

    exit_code = 1


def expand_home(path: str | Path, place: str) -> Path:
    """The path with ~ or ~NAME as that home; InputError names `place` if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{place}: got '{path}'; allowed: a path, with ~ for your home or ~NAME for that of a "
            "user of this machine; write it without ~"
        ) from error


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Reading what the user named: an OSError here is wrong input, not work that failed."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"{error.filename or place}: cannot be read: {reason}; "
            "check the path and who may read it"
        ) from error
