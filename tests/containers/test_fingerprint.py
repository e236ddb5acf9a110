"""What counts for the fingerprint of an environment, and what does not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from harness.containers.fingerprint import fingerprint


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    (folder / "b" / "__pycache__").mkdir(parents=True)
    (folder / "b" / "two.py").write_text("2")
    (folder / "a.py").write_text("1")
    (folder / "link").symlink_to("a.py")
    (folder / "b" / "__pycache__" / "two.cpython-311.pyc").write_bytes(b"now")
    return folder


def test_it_is_the_digest_of_a_plain_list(packages: Path) -> None:
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"1", b"2"))
    lines = f"{one}  a.py\n{two}  b/two.py\na.py  link\n"
    assert fingerprint(packages) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_bytecode_and_times_do_not_count(packages: Path) -> None:
    before = fingerprint(packages)
    (packages / "b" / "__pycache__" / "two.cpython-311.pyc").write_bytes(b"later")
    os.utime(packages / "a.py", (1, 1))
    (packages / "empty").mkdir()
    assert fingerprint(packages) == before


@pytest.mark.parametrize("change", ["content", "name", "more", "link"])
def test_every_change_of_the_files_counts(packages: Path, change: str) -> None:
    before = fingerprint(packages)
    if change == "content":
        (packages / "a.py").write_text("3")
    elif change == "name":
        (packages / "a.py").rename(packages / "c.py")
    elif change == "more":
        (packages / "b" / "three.py").touch()
    else:
        (packages / "link").unlink()
        (packages / "link").symlink_to("b/two.py")
    assert fingerprint(packages) != before
