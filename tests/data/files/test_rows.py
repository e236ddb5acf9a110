"""Bytes to lines and JSON documents: what files do to naive readers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.data.files.rows import (
    RowProblem,
    known,
    parse_json,
    read_json,
    read_lines,
    scalar_of,
    starts_with,
    text_of,
)
from harness.errors import InputError


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\r\nb", ["a\r", "b"]),
        (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
        (b"a\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        ("a\u2028b\u0085c\x0bd\x0c\x1ee\n".encode(), ["a\u2028b\u0085c\x0bd\x0c\x1ee"]),
        (b"a\rb\n", ["a\rb"]),
        (b"\na\n\n", ["", "a", ""]),
        (" \u3000\n".encode() + b"a", [" \u3000", "a"]),
    ],
)
def test_lines_end_at_newlines_only(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    file = tmp_path / "f.txt"
    file.write_bytes(content)
    assert [line.text for line in read_lines(file)] == lines
    packed = tmp_path / "f.txt.gz"
    packed.write_bytes(gzip.compress(content))
    found = list(read_lines(packed))
    assert [line.text for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
    assert not any(line.problem for line in found)


@pytest.mark.parametrize(
    ("content", "number", "problem"),
    [
        (b"ok\ncaf\xe9\n", 2, "byte 0xe9 is not UTF-8"),
        (b"a\x00b\n", 1, "NUL byte"),
        ("wide".encode("utf-16"), 1, "NUL byte"),
        (gzip.compress(b"text", mtime=0), 1, "NUL byte"),
    ],
)
def test_a_line_that_is_no_text_says_so(
    tmp_path: Path, content: bytes, number: int, problem: str
) -> None:
    file = tmp_path / "f.txt"
    file.write_bytes(content)
    bad = [line for line in read_lines(file) if line.problem]
    assert bad[0].number == number
    assert problem in str(bad[0].problem)


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "empty.txt"
    file.write_bytes(content)
    for read in (lambda: list(read_lines(file)), lambda: read_json(file)):
        with pytest.raises(InputError, match=r"empty\.txt.*"):
            read()


def test_missing_files_folders_and_damaged_archives_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        list(read_lines(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="is a folder"):
        list(read_lines(tmp_path))
    whole = gzip.compress(b"some text\n" * 1000)
    for content, problem in [(whole[: len(whole) // 2], "damaged"), (b"no gzip", "damaged")]:
        file = tmp_path / "cut.json.gz"
        file.write_bytes(content)
        with pytest.raises(InputError, match=rf"cut\.json\.gz: {problem} gzip"):
            list(read_lines(file))
        with pytest.raises(InputError, match=rf"cut\.json\.gz: {problem} gzip"):
            read_json(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a":\n 1,}', "line 2: invalid JSON"),
        (b'{"a": 1}\n{"b": 2}', "line 2: invalid JSON"),
        (b'{"a":\n "\xff"}', "line 2: byte 0xff is not UTF-8"),
        (b"[" * 100_000, "invalid JSON"),
        (b"1" * 5_000, "invalid JSON"),
    ],
)
def test_a_broken_json_document_is_refused_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "f.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(file)


def test_json_with_a_mark_and_carriage_returns_is_read(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_bytes(b'\xef\xbb\xbf\r\n {"a": 1}\r\n')
    assert read_json(file) == {"a": 1}
    assert starts_with(file, b"{")
    assert not starts_with(file, b"[")


def test_fields_are_checked_by_type() -> None:
    assert text_of("x", "f") == "x"
    assert [scalar_of(value, "f") for value in ("x", 1, 1.5, True, False)] == [
        *("x", "1", "1.5", "true", "false")
    ]
    with pytest.raises(RowProblem, match="f must be a string, got null"):
        text_of(None, "f")
    with pytest.raises(RowProblem, match=r"f must be a string, got \[1, 2"):
        scalar_of([1, 2], "f")
    with pytest.raises(RowProblem, match="lone surrogate"):
        text_of(parse_json('"\\ud83d"'), "f")
    assert text_of(parse_json('"\\ud83d\\ude00"'), "f") == "\U0001f600"
    with pytest.raises(RowProblem, match="unknown label 'x'; known: a, b"):
        known("x", "label", ("a", "b"))
    with pytest.raises(RowProblem, match=r"known: \(none\)"):
        known("x", "label", ())
