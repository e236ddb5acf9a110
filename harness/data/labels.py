"""Labels taken from the training rows (`labels_from`), where there are too many to list in YAML."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from harness.catalog.specs import Source
from harness.data.dataset import Dataset, make_dataset
from harness.data.examples import Example, PairExample, TaggingExample
from harness.data.load import DataContext, load_split
from harness.errors import InputError


def load_source(source: Source, split: str, context: DataContext) -> Dataset:
    """A source's `train` or `dev` set as its files have it, overlap included.

    By its rule `labels_from`, labels that are not the source's become `other` and are counted.
    """
    if source.labels_from is None:
        return _rows(source, split, source.labels, context)
    whole = _rows(source, split, None, context)
    known, other = frozenset(with_labels(source, context).labels), source.labels_from.other
    rare = sum(label not in known for example in whole.examples for label in _labels(example))
    examples = [_relabelled(example, known, other) for example in whole.examples]
    counts = {**whole.counts, "labels_to_other": rare}
    return make_dataset(whole.name, whole.language, examples, counts)


def with_labels(source: Source, context: DataContext) -> Source:
    """The source with the labels of its rule `labels_from`: sorted, `other` last; else as it is.

    They come from the training rows as read, so they are the same whatever a suite scores.
    """
    rule = source.labels_from
    if rule is None or source.labels:
        return source
    found: Counter[str] = Counter()
    for example in _rows(source, "train", None, context).examples:
        found.update(_labels(example))
    frequent = sorted(name for name, n in found.items() if n >= rule.least and name != rule.other)
    if not frequent:
        raise InputError(
            f"{source.name}/train ({source.language}): no label stands there {rule.least} times; "
            "lower labels_from.least in its YAML, or check the files"
        )
    return replace(source, labels=(*frequent, rule.other))


def _rows(
    source: Source, split: str, labels: tuple[str, ...] | None, context: DataContext
) -> Dataset:
    spec = source.train if split == "train" else source.dev
    return load_split(spec, source.language, labels, context, f"{source.name}/{split}")


def _labels(example: Example) -> tuple[str, ...]:
    if isinstance(example, TaggingExample):
        return example.tags or ()
    if isinstance(example, PairExample) and example.label is not None:
        return (example.label,)
    return ()


def _relabelled(example: Example, known: frozenset[str], other: str) -> Example:
    if isinstance(example, TaggingExample) and example.tags is not None:
        return replace(example, tags=tuple(tag if tag in known else other for tag in example.tags))
    if isinstance(example, PairExample) and example.label is not None:
        return replace(example, label=example.label if example.label in known else other)
    return example
