"""Whether torch gets huge pages: asked for, on Linux, and not switched off in the kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import huge_pages as module
from harness.huge_pages import VARIABLE, ask_for_huge_pages, huge_pages


@pytest.mark.parametrize(
    ("platform", "asked", "kernel", "given"),
    [
        ("linux", "1", "always [madvise] never", True),
        ("linux", "1", "[always] madvise never", True),
        ("linux", "1", "always madvise [never]", False),
        ("linux", "0", "always [madvise] never", False),
        ("linux", None, "always [madvise] never", False),
        ("linux", "1", None, False),  # a kernel without them
        ("darwin", "1", "always [madvise] never", False),
    ],
)
def test_they_are_there_where_asked_for_and_given(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    asked: str | None,
    kernel: str | None,
    given: bool,
) -> None:
    setting = tmp_path / "enabled"
    if kernel:
        setting.write_text(f"{kernel}\n", encoding="ascii")
    monkeypatch.setattr(module, "_SETTING", setting)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.delenv(VARIABLE, raising=False)
    if asked is not None:
        monkeypatch.setenv(VARIABLE, asked)
    assert huge_pages() is given


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_the_users_choice_stands(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    monkeypatch.setenv(VARIABLE, before or "")
    if before is None:
        monkeypatch.delenv(VARIABLE)
    ask_for_huge_pages()
    assert os.environ[VARIABLE] == after
