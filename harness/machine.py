"""Cores and memory that this process may use: the machine's, or less where a cgroup limits it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60  # cgroup v1 writes "no limit" as a number near 2^63


def usable_cores() -> int:
    """Logical cores: those that the scheduler may use, at most the CPU quota (rounded up)."""
    allowed = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if allowed else os.cpu_count() or 1
    return max(1, min([cores, *(-(-quota // period) for quota, period in _cpu_quotas())]))


def total_memory() -> int:
    """Bytes of memory that this process could have: the machine's, or the limit of its cgroup."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _memory_limits())])


def free_memory() -> int:
    """Bytes that can still be had without swapping or being killed; never below zero."""
    left = [limit - used for limit, used in _memory_limits()]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def _cpu_quotas() -> Iterator[tuple[int, int]]:
    """CPU time per period, both in microseconds, of every group above this process."""
    for folder in _groups("cpu"):
        if parts := _read(folder / "cpu.max").split():  # v2: "max 100000" or "150000 100000"
            if parts[0] != "max":
                yield int(parts[0]), int(parts[1])
        elif (quota := _read(folder / "cpu.cfs_quota_us")) and int(quota) > 0:
            yield int(quota), int(_read(folder / "cpu.cfs_period_us"))


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Limit and bytes in use that cannot be reclaimed, of every group above this process."""
    for folder in _groups("memory"):
        v2 = _read(folder / "memory.max")
        limit = v2 or _read(folder / "memory.limit_in_bytes")
        if not limit or limit == "max" or int(limit) >= _NO_LIMIT:
            continue
        used = int(_read(folder / ("memory.current" if v2 else "memory.usage_in_bytes")) or 0)
        # Cached files count as used, and are dropped when memory is wanted.
        key = "inactive_file" if v2 else "total_inactive_file"
        statistics = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
        yield int(limit), max(0, used - int(statistics.get(key, 0)))


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of those above it, v1 or v2, that can be seen.

    Inside a container the root of the mounted hierarchy is the container's own group.
    """
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller if controllers else _CGROUPS
        group = root / path.lstrip("/")
        while group != root:
            if group.is_dir():
                yield group
            group = group.parent
        yield root


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""  # another version of cgroups, or no Linux: no limit is known
