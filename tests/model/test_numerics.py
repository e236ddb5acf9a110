"""A choice of numerics reaches every library that computes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from harness.model import Numerics


@pytest.fixture
def as_before() -> Iterator[None]:
    """What apply() sets is the whole process's."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with threadpool_limits():
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize(("before", "threads"), [(2, 1), (1, 2)])
def test_threads_hold_for_numpy_too(as_before: None, before: int, threads: int) -> None:
    """Mining multiplies with numpy: with a BLAS of its own it took every core in every worker."""
    torch.set_num_threads(before)
    threadpool_limits(before, user_api="blas")
    Numerics(threads=threads).apply()
    blas = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
    assert blas
    assert set(blas) == {torch.get_num_threads()} == {threads}
