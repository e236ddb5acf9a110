"""Problems of the catalog as one line each: file, key, value got, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.yaml_file import shown_path
from harness.errors import InputErrors

_MOST = 20  # lines of one error; more are the same mistake over and over


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong at one key of one file."""

    file: str
    key: str
    got: str
    allowed: str
    todo: str

    def line(self) -> str:
        """The problem as one line."""
        place = f"{self.file}: {self.key}" if self.key else self.file
        return f"{place}: got {self.got}; allowed: {self.allowed}; {self.todo}"


def problem(file: Path, key: str, got: str, allowed: str, todo: str) -> Problem:
    """A problem with the file's path as messages show it."""
    return Problem(shown_path(file), key, got, allowed, todo)


def names(known: Iterable[str], most: int = 40) -> str:
    """Names for a message: in order, the first `most` of them."""
    listed = list(known)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more if listed else "(none)"


def did_you_mean(got: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean 'x'?` where a known name is close, else `otherwise`."""
    close = difflib.get_close_matches(got, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else otherwise


def unknown(
    file: Path, key: str, name: str, known: Collection[str], more: str = ""
) -> Iterator[Problem]:
    """A problem if the name of a document is not among the known ones; `more` is allowed, too."""
    if name not in known:
        listed = sorted(known)
        todo = did_you_mean(name, listed, "correct the name, or add the missing file")
        yield problem(file, key, f"'{name}'", names(listed) + more, todo)


def unknown_language(file: Path, key: str, code: str, known: Iterable[str]) -> Iterator[Problem]:
    """A problem if the code is not in the language table."""
    listed = list(known)
    if code not in listed:
        todo = did_you_mean(code, listed, "correct it, or add it to languages.yaml")
        yield problem(file, key, f"'{code}'", names(listed, 60), todo)


def raise_lines(lines: Iterable[str]) -> None:
    """InputErrors with the lines, if there are any (each once)."""
    unique = list(dict.fromkeys(lines))
    if len(unique) > _MOST:
        unique[_MOST:] = [f"... and {len(unique) - _MOST} more problems; mend these first"]
    if unique:
        raise InputErrors(unique)
