"""Official splits: a file that is cut, or a treebank that is missing, must not bear their name."""

from __future__ import annotations

from collections.abc import Iterable

from harness.catalog.specs import SplitSpec, Target
from harness.data.dataset import Dataset
from harness.data.load import DataContext, load_split, resolve_files
from harness.errors import InputError

# Rows that the official split has and that were set aside here as faulty: counted, not missing.
_SET_ASIDE = ("bad_rows_skipped", "questions_dropped")
_SHOWN = 3


def load_scored(target: Target, language: str, context: DataContext) -> Dataset:
    """The rows that a target is scored on; an InputError if they are not as many as expected."""
    name = f"{target.name}/test"
    dataset = load_split(target.test, language, target.labels, context, name)
    expected = target.expected_rows(language)
    problem = count_problem(dataset, expected, target.split, target.test, context)
    if problem:
        raise InputError(problem)
    return dataset


def count_problem(
    dataset: Dataset, expected: int | None, split: str, spec: SplitSpec, context: DataContext
) -> str:
    """What is wrong with the number of rows of an official split; empty if nothing is.

    Faulty rows that are skipped or dropped, and counted as such, count as rows.
    """
    found = len(dataset) + sum(dataset.counts.get(name, 0) for name in _SET_ASIDE)
    if expected is None or found == expected:
        return ""
    where = _shown(_places(spec, dataset.language, context))
    return (
        f"{dataset.name} ({dataset.language}): {where}: {found:,} rows, but the split '{split}' "
        f"has {expected:,}; get the whole release (`xstilts data ls --json` says where), or read "
        "these rows in a target of your own with another `split`"
    )


def _places(spec: SplitSpec, language: str, context: DataContext) -> Iterable[str]:
    for piece in spec.pieces(language):
        if piece.reader == "hub":
            yield f"{piece.options['id']}@{piece.options['revision']}"
        for file in resolve_files(piece, language, context):
            yield str(file.relative_to(context.root) if context.root else file)


def _shown(places: Iterable[str]) -> str:
    names = list(dict.fromkeys(places))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
