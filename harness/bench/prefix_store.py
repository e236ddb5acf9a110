"""Hidden states below the first adapters, kept in the store: STORE/prefix, within a bound."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.bench.steps import Settings, library_versions
from harness.bench.store import Store
from harness.canonical import digest
from harness.catalog import Backbone
from harness.errors import InputError, WorkError
from harness.formats import Feature, Format
from harness.model import Assembly, Numerics, Prefix, adapter_names, adapters_below, prefix_of
from harness.train import Interrupted, Rows, States, compute_states, stored_dtype, stored_type

PREFIX = "prefix"  # the kind of its artifacts: no step makes them, and no key holds theirs
_VERSION = 2  # raise when what is kept changes
_FILE = "states.bin"
_BESIDE = 1024  # bytes of an artifact's manifest, at most
_SPARE = 1 << 28  # bytes of disk that are left free
_BOUND = "bound"  # the key whose lock is held while room is taken
log = logging.getLogger(__name__)


@dataclass(slots=True)
class PrefixCache:
    """Makes and opens states; `bound` is in bytes."""

    settings: Settings
    should_stop: Callable[[], bool] = lambda: False

    def states(
        self, assembly: Assembly, task_format: Format[Any], features: Sequence[Feature], pad_id: int
    ) -> States | None:
        """The known states of the features' rows, made now if need be; None where none may be used.

        The model must not be read below its prefix; full fine-tuning has none.
        """
        model, prefix = assembly.model, prefix_of(assembly.model)
        depth = model.config.num_hidden_layers
        if not usable(prefix, task_format, depth) or not features:
            return None
        below = adapters_below(model, adapter_names(assembly.active), prefix.layers)
        if below:
            raise InputError(
                f"--prefix-cache: adapter '{below[0]}' stands below layer {prefix.layers}, where "
                "the adapters of its backbone begin, so the states there are not the backbone's; "
                "leave the option out"
            )
        rows = Rows.of(features)
        dtype = stored_dtype(self.settings.numerics, model.dtype)
        key = states_key(prefix, self.settings.numerics, rows, dtype)
        shape = (rows.tokens, int(model.config.hidden_size))
        store = Store(self.settings.store)
        store.create()

        def build(folder: Path) -> None:
            array = self._room(store, folder / _FILE, shape, dtype)
            compute_states(
                model,
                prefix.layers,
                rows,
                array,
                numerics=self.settings.numerics,
                pad_id=pad_id,
                batch_tokens=self.settings.predict_tokens,
                on_batch=self._look_up,
            )
            array.flush()

        with store.lock(PREFIX, key):  # who else wants the same waits for it
            folder = store.path(PREFIX, key)
            if not store.has(PREFIX, key):
                if os.path.lexists(folder):
                    log.warning("store: prefix %s is damaged; it is made again", key[:12])
                    shutil.rmtree(folder)
                store.put(PREFIX, key, build)
        array = np.memmap(folder / _FILE, stored_type(dtype), "r", shape=shape)
        return States(prefix.layers, rows, array, dtype)

    def _look_up(self, _: int, __: int) -> None:
        if self.should_stop():
            raise Interrupted

    def _room(
        self, store: Store, file: Path, shape: tuple[int, int], dtype: torch.dtype
    ) -> np.memmap[Any, Any]:
        """A new file of that shape on disk; WorkError where the bound or the disk has no room.

        It has its whole size before the lock goes, so that other processes count it.
        """
        bound = self.settings.prefix_cache
        assert bound is not None
        size = needed_bytes(shape[0], shape[1], dtype)
        with store.lock(PREFIX, _BOUND):
            drop_left_over(store, file.parent)
            problem = room_problem(store, bound, [size])
            if problem is not None:
                raise WorkError(problem)
            with file.open("wb") as handle:
                os.posix_fallocate(handle.fileno(), 0, shape[0] * shape[1] * dtype.itemsize)
        return np.memmap(file, stored_type(dtype), "r+", shape=shape)


def usable(prefix: Prefix, task_format: Format[Any], depth: int) -> bool:
    """Whether a format on such a model can start from known states."""
    return bool(
        prefix.layers and not prefix.dropout and task_format.lowest_layer(depth) >= prefix.layers
    )


def check_prefix(settings: Settings, backbones: Iterable[Backbone]) -> None:
    """InputError where --prefix-cache is given and a backbone has nothing to keep."""
    for spec in backbones if settings.prefix_cache is not None else ():
        lacking = [] if spec.first_adapter_layer else ["`first_adapter_layer` above 0"]
        lacking += ["`prefix_dropout: false`"] if spec.prefix_dropout else []
        if lacking:
            raise InputError(
                f"--prefix-cache: backbone '{spec.name}' lacks {' and '.join(lacking)} in its "
                "YAML, so its lower layers are not the same in every pass; choose a backbone "
                "that has both, or leave the option out"
            )


def states_key(prefix: Prefix, numerics: Numerics, rows: Rows, dtype: torch.dtype) -> str:
    """SHA-256 over all that states depend on."""
    return digest(
        {
            "version": _VERSION,
            "libraries": library_versions(),
            "numerics": numerics.identity(),
            "backbone": prefix.digest,
            "layers": prefix.layers,
            "dtype": str(dtype),
            "rows": rows.digest(),
        }
    )


def needed_bytes(tokens: int, width: int, dtype: torch.dtype) -> int:
    """What the states of so many tokens take on disk."""
    return tokens * width * dtype.itemsize + _BESIDE


def room_problem(store: Store, bound: int, sizes: Sequence[int]) -> str | None:
    """None if there is room for all of these, else one line that says what would make it."""
    held, wanted = _held(store), sum(sizes)
    folder = store.root / PREFIX
    needs = f"--prefix-cache: {shown(wanted)} more of hidden states are needed"
    if held + wanted > bound:
        return (
            f"{needs}, {folder} has {shown(held)}, and {shown(bound)} are allowed; give at least "
            f"{shown(held + wanted)}, remove what is in that folder while nothing runs, or leave "
            "the option out"
        )
    free = shutil.disk_usage(store.root).free
    if wanted and wanted + _SPARE > free:
        return (
            f"{needs}, and the disk of {folder} has {shown(free)} free, of which "
            f"{shown(_SPARE)} stay so; free some, choose another --store, or leave the option out"
        )
    return None


def shown(size: int) -> str:
    """Bytes for people, as --prefix-cache takes them: rounded up."""
    unit, name = next(
        ((unit, name) for unit, name in ((10**9, "GB"), (10**6, "MB")) if size >= unit),
        (1000, "KB"),
    )
    return f"{math.ceil(size * 100 / unit) / 100:g}{name}"


def _held(store: Store) -> int:
    """Bytes of states that are being made, and of finished ones.

    In this order: what is finished meanwhile counts twice rather than not at all.
    """
    making = sum(map(_size, (store.root / "work").glob(f"partial-{PREFIX}-*")))
    return making + _size(store.root / PREFIX)


def _size(place: Path) -> int:
    """Bytes of the files there, without what became whole, or was removed, meanwhile."""
    total = 0
    for folder, _, names in os.walk(place):  # which passes over folders that have gone
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).lstat().st_size
    return total


def drop_left_over(store: Store, own: Path | None = None) -> None:
    """Remove what processes that were killed left; `own` is being made just now."""
    for place in (store.root / "work").glob(f"partial-{PREFIX}-*"):
        if place != own:
            store.drop_unfinished(PREFIX, place.name.removeprefix(f"partial-{PREFIX}-"))
