"""Bytes to rows, the same way for every layout: UTF-8, with or without a BOM, gzip by suffix.

`str.splitlines` and text-mode files also split at U+2028, U+0085 and a lone carriage return, all of
which occur inside published sentences, so lines are cut from the bytes at "\\n" only.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from harness.errors import InputError


class RowProblem(ValueError):
    """What is wrong with one row; the reader hands it to the report with the row's place."""


class Line(NamedTuple):
    """A line without its end; `problem` is set where its bytes are not text."""

    number: int  # from 1
    text: str
    problem: str | None


def place(file: Path, number: int) -> str:
    """Where a message points to: the file and the line."""
    return f"{file}, line {number}"


def read_lines(file: Path) -> Iterator[Line]:
    """The lines of a file; a missing, empty or damaged one is an InputError that names it."""
    empty = True
    with _open(file) as handle:
        lines = _lines_of(file, handle)
        for number, raw in enumerate(lines, start=1):
            text = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            empty = empty and not text.strip()
            yield _decode(number, text.removesuffix(b"\n").removesuffix(b"\r"))
    if empty:
        raise InputError(f"{file}: the file is empty; get it again")


def read_json(file: Path) -> Any:
    """The one JSON document of a file; a fault is an InputError with its line."""
    with _open(file) as handle:
        raw = b"".join(_lines_of(file, handle))
    if not raw.strip():
        raise InputError(f"{file}: the file is empty; get it again")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise InputError(f"{place(file, line)}: {problem}; convert the file to UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{place(file, error.lineno)}: invalid JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: invalid JSON ({error})") from error


def starts_with(file: Path, token: bytes) -> bool:
    """Whether the first byte that is no white space (nor BOM) starts `token`."""
    with _open(file) as handle:
        for raw in _lines_of(file, handle):
            text = raw.removeprefix(codecs.BOM_UTF8).strip()
            if text:
                return text.startswith(token)
    return False


def parse_json(text: str) -> Any:
    """One line of JSON; raises RowProblem."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RowProblem(f"invalid JSON ({error.msg} at character {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise RowProblem(f"invalid JSON ({error})") from error


def text_of(value: Any, name: str) -> str:
    """A string field; raises RowProblem for another type or a lone surrogate."""
    if not isinstance(value, str):
        raise RowProblem(f"{name} must be a string, got {_shown(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowProblem(f"{name} holds a lone surrogate, which is not a character") from error
    return value


def scalar_of(value: Any, name: str) -> str:
    """A label or id, which JSON may hold as a string, a number or a boolean, as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return text_of(value, name)


def list_of(value: Any, name: str) -> list[Any]:
    """A list, where rows of a table may also hold null; raises RowProblem for another type."""
    if not isinstance(value, list):
        raise RowProblem(f"{name} must be a list, got {_shown(value)}")
    return value


def known(value: str, name: str, labels: Sequence[str] | None) -> str:
    """The value if it is one of the labels (None: if it is not blank); else a RowProblem."""
    if labels is None:
        if not value.strip():
            raise RowProblem(f"empty {name}")
        return value
    if value not in labels:
        allowed = ", ".join(labels) if labels else "(none)"
        raise RowProblem(f"unknown {name} '{value}'; known: {allowed}")
    return value


def _open(file: Path) -> BinaryIO:
    if file.is_dir():
        raise InputError(f"{file}: is a folder, not a file")
    try:
        if file.suffix == ".gz":
            return cast(BinaryIO, gzip.open(file, "rb"))
        return file.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file; see `xstilts data check`") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error


def _lines_of(file: Path, handle: BinaryIO) -> Iterator[bytes]:
    try:
        yield from handle
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file}: damaged gzip file ({error}); get it again") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error


def _decode(number: int, raw: bytes) -> Line:
    try:
        text, problem = raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        text = raw.decode("utf-8", errors="replace")
        problem = f"byte 0x{raw[error.start]:02x} is not UTF-8; convert the file to UTF-8"
    if "\0" in text:
        problem = "NUL byte: not a UTF-8 text file (binary, or UTF-16)"
    return Line(number, text, problem)


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=True, default=repr)  # tables hold bytes and dates, too
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
