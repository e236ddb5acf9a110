"""The text of a label or prediction file, as strictly as a scorer must read it."""

from __future__ import annotations

import codecs
from pathlib import Path

from harness.data.files.rows import place
from harness.errors import InputError, reading


def read_text(file: Path) -> str:
    """The file's text; InputError where it is missing, empty, not UTF-8 or starts with a mark.

    A byte order mark is refused: XTREME's scorer takes it for a part of the first line.
    """
    with reading(file):
        raw = file.read_bytes()
    if not raw.strip():
        raise InputError(f"{file}: the file is empty; it needs at least one row")
    if raw.startswith(codecs.BOM_UTF8):
        raise InputError(
            f"{place(file, 1)}: starts with a byte order mark; save the file as UTF-8 without it"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{place(file, line)}: byte 0x{raw[error.start]:02x} is not UTF-8; "
            "convert the file to UTF-8"
        ) from error


def read_rows(file: Path) -> list[str]:
    """The lines of a file without white space at their ends, as XTREME reads them."""
    lines = read_text(file).split("\n")
    if not lines[-1]:  # what follows the last line's end is no line
        lines.pop()
    return [line.strip() for line in lines]


def shown(value: str) -> str:
    """A value in a message: quoted, control characters visible, cut to a short piece."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}...'"
