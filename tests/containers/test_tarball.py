"""Normalised tars: what is in a folder decides the bytes, and nothing else does."""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.canonical import file_digest
from harness.containers.tarball import write_tar

_NEWEST = 1_700_000_000
_NAME = st.sampled_from(["a", "b", "Z", "ä", "a b", "-x", "l" * 120])
_TREE = st.dictionaries(
    st.lists(_NAME, min_size=1, max_size=3).map("/".join), st.binary(max_size=20), min_size=1
)


def _grow(root: Path, files: list[tuple[str, bytes]], time: int) -> None:
    """Write the files in this order; where a name is taken by a folder or file, it is left out."""
    for name, content in files:
        path = root / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in [root, *root.rglob("*")]:
        os.utime(path, (time, time))


def _digest(root: Path, keep: Callable[[str], bool] = lambda name: True) -> str:
    tar = root.with_suffix(".tar")
    write_tar(root, tar, _NEWEST, keep)
    return file_digest(tar)


def _sample(root: Path) -> Path:
    root.mkdir()
    (root / "etc").mkdir()
    (root / "etc/motd").write_text("hello")
    (root / "etc/issue").symlink_to("motd")
    os.link(root / "etc/motd", root / "second")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    return root


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=_TREE, shuffle=st.randoms(use_true_random=False), later=st.integers(0, 10**8))
def test_times_after_the_newest_and_the_order_of_writing_change_nothing(
    tmp_path_factory, tree, shuffle, later
) -> None:
    files = [(name, content) for name, content in tree.items() if not _clashes(name, tree)]
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    _grow(first, files, _NEWEST + 1)
    shuffle.shuffle(files)
    _grow(second, files, _NEWEST + 1 + later)
    assert _digest(first) == _digest(second)


def _clashes(name: str, tree: dict[str, bytes]) -> bool:
    return any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in tree)


def test_members_are_sorted_with_numeric_owners_clamped_times_and_modes(tmp_path: Path) -> None:
    root = _sample(tmp_path / "root")
    os.utime(root / "run.sh", (1_600_000_000.75, 1_600_000_000.75))
    digest = _digest(root)
    assert len(digest) == 64
    with tarfile.open(tmp_path / "root.tar") as archive:
        members = archive.getmembers()
        content = archive.extractfile("etc/motd")
        assert content is not None and content.read() == b"hello"
    assert [member.name for member in members] == [
        "etc", "etc/issue", "etc/motd", "run.sh", "second",
    ]  # fmt: skip
    assert {(m.uname, m.gname) for m in members} == {("", "")}
    assert {(m.uid, m.gid) for m in members} == {(os.geteuid(), (root / "etc").stat().st_gid)}
    assert [m.mtime for m in members] == [_NEWEST] * 3 + [1_600_000_000, _NEWEST]
    assert members[1].issym() and members[1].linkname == "motd"
    assert members[3].mode == 0o755
    assert members[4].islnk() and members[4].linkname == "etc/motd"


def test_a_byte_a_mode_a_target_and_an_old_time_each_change_the_digest(tmp_path: Path) -> None:
    changes: list[Callable[[Path], object]] = [
        lambda root: None,
        lambda root: (root / "etc/motd").write_text("hellO"),
        lambda root: (root / "run.sh").chmod(0o754),
        lambda root: (root / "etc").chmod(0o700),
        lambda root: ((root / "etc/issue").unlink(), (root / "etc/issue").symlink_to("run.sh")),
        lambda root: os.utime(root / "run.sh", (1_600_000_000, 1_600_000_000)),
        lambda root: (root / "empty").mkdir(),
    ]
    digests = []
    for number, change in enumerate(changes):
        root = _sample(tmp_path / str(number))
        change(root)
        digests.append(_digest(root))
    assert len(set(digests)) == len(changes)
    assert _digest(_sample(tmp_path / "again")) == digests[0]


def test_what_is_not_kept_and_what_is_neither_file_folder_nor_link_is_left_out(
    tmp_path: Path,
) -> None:
    root = _sample(tmp_path / "root")
    before = _digest(root)
    os.mkfifo(root / "etc/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "etc/socket"))
    (root / "log").mkdir()
    (root / "log/today").write_text("volatile")
    assert _digest(root, lambda name: name != "log") == before
    asked: list[str] = []
    _digest(root, lambda name: bool(asked.append(name)) or name != "log")
    assert asked == ["etc", "etc/issue", "etc/motd", "log", "run.sh", "second"]
