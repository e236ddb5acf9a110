"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data files, no part of the repository; without it the test skips."""
    folder = Path(os.environ.get("XSTILTS_SHARED_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data files at {folder}; set XSTILTS_SHARED_DATA to their folder")
    return folder
