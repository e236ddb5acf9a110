"""Limits of cgroups, both versions, as files of a made-up hierarchy."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness import machine

GIB = 1 << 30


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hierarchy on a machine of 16 cores and 64 GiB, 50 of them free."""
    root = tmp_path / "cgroup"
    root.mkdir()
    monkeypatch.setattr(machine, "_CGROUPS", root)
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    memory = SimpleNamespace(total=64 * GIB, available=50 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return root


def member(root: Path, lines: str) -> None:
    (root.parent / "membership").write_text(lines)


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def found() -> tuple[int, int, int]:
    return machine.usable_cores(), machine.total_memory(), machine.free_memory()


def test_no_cgroups_is_the_whole_machine(cgroups: Path) -> None:
    assert found() == (16, 64 * GIB, 50 * GIB)


def test_v2_container(cgroups: Path) -> None:
    """Its own group is the root; cached files that can be dropped count as free."""
    member(cgroups, "0::/\n")
    write(
        cgroups, cpu__max="250000 100000", memory__max=8 * GIB, memory__current=5 * GIB,
        memory__stat=f"anon 1\ninactive_file {3 * GIB}\nactive_file 7",
    )  # fmt: skip
    assert found() == (3, 8 * GIB, 6 * GIB)  # 2.5 cores are three, the third half used


def test_v2_limit_of_a_group_above(cgroups: Path) -> None:
    """A batch system limits the job, not the step that runs in it."""
    member(cgroups, "0::/job_7/step_0\n")
    write(cgroups / "job_7", cpu__max="400000 100000", memory__max=16 * GIB, memory__current=0)
    write(cgroups / "job_7" / "step_0", cpu__max="max 100000", memory__max="max")
    assert found() == (4, 16 * GIB, 16 * GIB)


def test_v1_container(cgroups: Path) -> None:
    """The path in the membership is the host's and cannot be seen from inside."""
    member(cgroups, "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n1:name=systemd:/docker/abc\n")
    write(cgroups / "cpu", cpu__cfs_quota_us=150000, cpu__cfs_period_us=100000)
    write(
        cgroups / "memory", memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB,
        memory__stat="cache 5\ntotal_inactive_file 1024",
    )  # fmt: skip
    assert found() == (2, 2 * GIB, GIB + 1024)


def test_v1_without_limits(cgroups: Path) -> None:
    member(cgroups, "4:cpu:/\n3:memory:/\n")
    write(cgroups / "cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    write(cgroups / "memory", memory__limit_in_bytes=9223372036854771712)
    assert found() == (16, 64 * GIB, 50 * GIB)


def test_more_in_use_than_allowed_leaves_nothing(cgroups: Path) -> None:
    member(cgroups, "0::/\n")
    write(cgroups, memory__max=GIB, memory__current=2 * GIB, memory__stat="anon 3")
    assert machine.free_memory() == 0
