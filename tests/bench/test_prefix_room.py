"""Room for --prefix-cache, in one process: what counts, what is refused, what a stop leaves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.bench import Settings, Store
from harness.bench.prefix_store import PrefixCache, room_problem
from harness.errors import InputError, WorkError
from harness.model import Numerics, Prefix, set_prefix
from harness.train import Interrupted
from tests.model.test_prefix import fused, load, noisy
from tests.nano import goal_of
from tests.train.conftest import features_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "store", None, "refuse", Numerics(), prefix_cache=10**6)


def states(settings: Settings, folder: Path, count: int = 10) -> Any:
    goal, features = goal_of("nli"), features_of("nli", count)
    cache = PrefixCache(settings)
    return cache.states(fused(load(noisy(folder / "nano"))), goal.format, features, 1)


def test_a_step_that_finds_no_room_says_so(settings: Settings, tmp_path: Path) -> None:
    first = states(settings, tmp_path, 10)
    size = first.array.nbytes
    with pytest.raises(WorkError, match="more of hidden states are needed"):
        states(settings, tmp_path, round(10 * 10**6 / size))
    assert not list((tmp_path / "store" / "work").glob("partial-*"))


def test_room_that_another_process_has_taken_counts(settings: Settings, tmp_path: Path) -> None:
    store = Store(settings.store)
    store.create()
    partial = store.root / "work" / "partial-prefix-abc"
    partial.mkdir()
    (partial / "states.bin").write_bytes(bytes(999_000))
    with store.lock("prefix", "abc"), pytest.raises(WorkError, match="has 999KB"):
        states(settings, tmp_path)
    assert partial.exists()
    assert states(settings, tmp_path) is not None  # whoever had the lock is gone
    assert not partial.exists()


def test_what_becomes_whole_while_it_is_counted_counts_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(settings.store)
    store.create()
    partial, whole = store.root / "work" / "partial-prefix-abc", store.path("prefix", "abc")
    for folder in (partial, whole.parent):
        folder.mkdir()
    (partial / "states.bin").write_bytes(bytes(999_000))
    scan = os.scandir

    def late(place: Any = ".") -> Any:
        if Path(place) == partial and partial.exists():
            partial.rename(whole)
        return scan(place)

    monkeypatch.setattr(os, "scandir", late)
    text = room_problem(store, 10**6, [2000])
    assert whole.exists()
    assert text is not None
    assert "has 999KB" in text


def test_a_stop_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    assembly, goal = fused(load(noisy(tmp_path / "nano"))), goal_of("nli")
    features = features_of("nli", 10)
    with pytest.raises(Interrupted):
        PrefixCache(settings, lambda: True).states(assembly, goal.format, features, 1)
    assert not list(settings.store.glob("prefix/*"))
    assert not list(settings.store.glob("work/*"))
    assert PrefixCache(settings).states(assembly, goal.format, features, 1) is not None


def test_a_full_disk_is_seen_beforehand(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(settings.store)
    store.create()
    assert room_problem(store, 10**12, [10**6]) is None
    usage = shutil.disk_usage(settings.store)._replace(free=300 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    text = room_problem(store, 10**12, [100 << 20])
    assert text is not None
    assert "314.58MB free" in text
    assert "\n" not in text


def test_adapters_below_make_it_useless(settings: Settings, tmp_path: Path) -> None:
    """A model from elsewhere may have adapters where the backbone's states would be taken for."""
    base = load(noisy(tmp_path / "nano"), 0)
    assembly = fused(base)
    set_prefix(assembly.model, Prefix(2, dropout=False, digest="d"))
    cache, goal = PrefixCache(settings), goal_of("nli")
    with pytest.raises(InputError, match="adapter 'a' stands below layer 2") as caught:
        cache.states(assembly, goal.format, features_of("nli", 3), 1)
    assert "\n" not in str(caught.value)
