"""Errors meant for people: one line with the place, the value, what is allowed, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class XstiltsError(Exception):
    """Base of every error that the command line prints as one line instead of a traceback."""

    exit_code = 1


class InputError(XstiltsError):
    """Wrong usage or invalid input (exit code 2): nothing was written."""

    exit_code = 2


class WorkError(XstiltsError):
    """The work itself failed (exit code 1): disk full, read-only folder, a worker that died."""

    exit_code = 1


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
