"""Files that may not be read, also for root, whom the kernel lets read everything otherwise."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION = 0x20080522  # of the kernel's structures: two words for each set
_READS_ANYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = tuple((f"{name}{i}", ctypes.c_uint32) for i in (0, 1) for name in "epi")


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Nobody may read, write or enter `path` meanwhile, as far as this thread goes."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), _Sets()
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        pytest.skip("the kernel does not tell what this process may do")
    before, mode = sets.e0, path.stat().st_mode
    sets.e0 = before & ~_READS_ANYTHING
    path.chmod(0)
    assert libc.capset(ctypes.byref(header), ctypes.byref(sets)) == 0
    try:
        yield
    finally:
        sets.e0 = before
        assert libc.capset(ctypes.byref(header), ctypes.byref(sets)) == 0
        path.chmod(mode)
