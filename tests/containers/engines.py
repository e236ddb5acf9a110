"""What tests do where the engine, or something in it, is missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test; fail it under XSTILTS_REQUIRE_ENGINE=1, as in CI."""
    if os.environ.get("XSTILTS_REQUIRE_ENGINE"):
        pytest.fail(reason)
    pytest.skip(reason)
