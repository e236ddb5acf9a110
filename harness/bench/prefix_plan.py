"""How much --prefix-cache would have to hold for a run, counted before any of it starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.bench.data import SuiteData, encode_options
from harness.bench.plan import Plan
from harness.bench.prefix_store import (
    PREFIX,
    drop_left_over,
    needed_bytes,
    room_problem,
    states_key,
    usable,
)
from harness.bench.scoring import target_format
from harness.bench.steps import (
    BackboneWork,
    ExternalWork,
    FitWork,
    JointWork,
    PredictWork,
    Settings,
    SourceWork,
    Step,
    selecting,
)
from harness.bench.store import Store
from harness.data import Dataset
from harness.errors import InputError
from harness.formats import EncodeOptions, Format, get_format
from harness.model import Prefix, load_tokenizer
from harness.recipes import get_recipe
from harness.train import Rows, stored_dtype


@dataclass(frozen=True, slots=True)
class _Read:
    """A data set as a step encodes it."""

    form: Format[Any]
    labels: tuple[str, ...]
    data: Dataset
    options: EncodeOptions
    training: bool

    def id(self) -> tuple[object, ...]:
        """Equal where the rows are, without encoding them."""
        form = (self.form.name, *sorted(self.form.signature().items()))
        return (*form, self.labels, self.data.fingerprint, self.options, self.training)


def check_room(plan: Plan, steps: Iterable[Step], data: SuiteData, settings: Settings) -> None:
    """InputError where what these steps would keep has no room: it tokenises all their rows.

    A backbone that a step has yet to make is left out: its steps ask for room one by one.
    """
    bound = settings.prefix_cache
    if bound is None:
        return
    store, dtype = Store(settings.store), stored_dtype(settings.numerics)
    seen: set[tuple[object, ...]] = set()
    sizes: dict[str, int] = {}
    for step in steps:
        work = step.work
        if isinstance(work, BackboneWork | ExternalWork) or work.backbone.folder is None:
            continue
        backbone, tokenizer = work.backbone, load_tokenizer(work.backbone.folder)
        prefix = Prefix(backbone.first_adapter_layer, backbone.prefix_dropout, backbone.digest)
        shape = plan.shapes[backbone.name]
        for read in _reads(step, data, shape.layers):
            one = (backbone.name, *read.id())
            if one in seen or not usable(prefix, read.form, shape.layers):
                continue
            seen.add(one)
            rows = Rows.of(
                read.form.encode(
                    read.data.examples, tokenizer, read.labels, read.options, training=read.training
                )
            )
            key = states_key(prefix, settings.numerics, rows, dtype)
            if rows.tokens and not store.path(PREFIX, key).is_dir():
                sizes[key] = needed_bytes(rows.tokens, shape.hidden_size, dtype)
    drop_left_over(store)  # a worker that was killed may have left some
    problem = room_problem(store, bound, list(sizes.values()))
    if problem is not None:
        raise InputError(problem)


def _reads(step: Step, data: SuiteData, depth: int) -> Iterator[_Read]:
    """The data sets that a step passes through a model with a frozen prefix."""
    work = step.work
    if isinstance(work, SourceWork):
        yield from _of_source(work, data)
    elif isinstance(work, JointWork):
        for part in work.parts:
            yield from _of_source(part, data)
    elif isinstance(work, FitWork | PredictWork) and not get_recipe(work.recipe.kind).full:
        yield from (
            _of_fit(work, data) if isinstance(work, FitWork) else _of_predict(work, data, depth)
        )


def _of_source(work: SourceWork, data: SuiteData) -> Iterator[_Read]:
    form, options = get_format(work.source.format), encode_options(work.training)
    yield _Read(form, work.source.labels, data.drawn(work), options, True)
    yield _Read(form, work.source.labels, data.source(work.source, "dev"), options, False)


def _of_fit(work: FitWork, data: SuiteData) -> Iterator[_Read]:
    options = encode_options(work.training)
    if work.mode == "mixture":
        chosen = selecting(work.sources, work.target)
        for ref in work.sources:
            form, labels = get_format(ref.source.format), ref.source.labels
            yield _Read(form, labels, data.drawn(ref.rows), options, True)
            if ref in chosen:
                yield _Read(form, labels, data.source(ref.source, "dev"), options, False)
        return
    form, target = get_format(work.target.format), work.target
    for split in ("train", "dev"):
        yield _Read(form, target.labels, data.target(target, split), options, split == "train")


def _of_predict(work: PredictWork, data: SuiteData, depth: int) -> Iterator[_Read]:
    target = work.target
    form = target_format(target, depth)
    options = EncodeOptions(max_length=target.max_length, doc_stride=target.doc_stride)
    for dataset in (*data.tests(target).values(), *data.tunings(target).values()):
        yield _Read(form, target.labels, dataset, options, False)
