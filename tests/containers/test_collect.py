"""Tar streams that no honest tar makes; what a real one makes is in test_sandbox.py."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers.attached import STDERR, STDOUT
from harness.containers.collect import RefusedOutput, TarOutput, unpack


def frames(*entries: tarfile.TarInfo) -> Iterator[tuple[int, bytes]]:
    """The frames of a tar with these entries, each file full of zeros, in odd pieces."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    data = target.getvalue()
    for at in range(0, len(data), 777):
        yield STDOUT, data[at : at + 777]


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.mode = size, kind, 0o6777
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([entry("/etc/x")], "'/etc/x': outside the output folder"),
        ([entry("../x")], "'../x': outside the output folder"),
        ([entry("a/../../x")], "'a/../../x': outside the output folder"),
        ([entry("x", kind=tarfile.CHRTYPE)], "'x': a device"),
        ([entry("x", kind=tarfile.BLKTYPE)], "'x': a device"),
        ([entry("x", kind=tarfile.GNUTYPE_SPARSE)], "'x': a special file"),
        ([entry("x", kind=b"Z")], "'x': a special file"),
        ([entry("x"), entry("x")], "'x': there twice"),
        ([entry(str(n)) for n in range(6)], "more than 5 files and folders"),
        ([entry(str(n), kind=tarfile.DIRTYPE) for n in range(6)], "more than 5 files and folders"),
        ([entry("a", 600), entry("b", 401)], "'b': beyond 1,000 bytes in all"),
    ],
)
def test_refused(tmp_path: Path, made: list[tarfile.TarInfo], said: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(RefusedOutput, match=said.replace(".", r"\.")):
        unpack(TarOutput(frames(*made)), inside, max_bytes=1000, max_files=5)
    assert list(tmp_path.iterdir()) == [inside]


def test_up_to_the_limits(tmp_path: Path) -> None:
    made = [entry(f"./{n}", 200) for n in range(5)]
    unpack(TarOutput(frames(entry("./", kind=tarfile.DIRTYPE), *made)), tmp_path, 1000, 5)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        str(n): bytes(200) for n in range(5)
    }


def test_stream_that_breaks_off(tmp_path: Path) -> None:
    cut = list(frames(entry("a", 5000)))[:3]
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        unpack(TarOutput(iter(cut)), tmp_path, 10_000, 5)


def test_first_complaint_of_tar_is_kept(tmp_path: Path) -> None:
    said = [(STDERR, b"tar: a: no\nta"), (STDERR, b"r: failed\n"), (STDERR, b"x" * 10_000)]
    source = TarOutput(iter([*frames(entry("b")), *said]))
    unpack(source, tmp_path, 1000, 5)
    assert source.complaint == "tar: a: no"
