"""What the commands of `xstilts data` share: options, the choice of what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import click

from harness.catalog import Catalog, Source, Target
from harness.catalog.problems import did_you_mean
from harness.cli.options import check_folder
from harness.data import DataContext, Owner, owners
from harness.errors import InputError

suite_option = click.option("--suite", "suites", multiple=True, metavar="NAME",
                            help="Only what this suite reads; may be repeated.")  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


def data_context(catalog: Catalog, root: Path | None, bad_rows: str) -> DataContext:
    """Where a command reads; InputError unless --data is a folder."""
    if root is not None:
        check_folder(root)
    return DataContext(root, bad_rows, catalog.language_iso3(), how_to_get=catalog.how_to_get())


def choose(
    catalog: Catalog, suites: Sequence[str], sources: Sequence[str], targets: Sequence[str]
) -> list[Owner]:
    """What is named, of what the suites read; all of that where nothing is named."""
    everything = owners(catalog, [catalog.suite(name) for name in suites])
    if not sources and not targets:
        return everything
    there = [owner.name for owner in everything]
    found: list[Owner] = [
        catalog.source(name) for name in _named("source", sources, catalog.sources, there, suites)
    ]
    return found + [
        catalog.target(name) for name in _named("target", targets, catalog.targets, there, suites)
    ]


def to_compare(
    catalog: Catalog, suites: Sequence[str], sources: Sequence[str], targets: Sequence[str]
) -> tuple[list[Owner], list[Owner]]:
    """Whose training rows are compared with whose scored rows.

    Of a kind of which nothing is named that is all; but where only sources are named, the training
    rows of targets are left out.
    """
    everything = choose(catalog, suites, (), ())
    chosen = choose(catalog, suites, sources, targets)
    trained: list[Owner] = [
        one for one in (chosen if sources else everything) if isinstance(one, Source)
    ]
    scored: list[Owner] = [
        one for one in (chosen if targets else everything) if isinstance(one, Target)
    ]
    return ([*trained, *scored] if targets or not sources else trained), scored


def _named(
    kind: str,
    patterns: Sequence[str],
    known: Mapping[str, Source] | Mapping[str, Target],
    there: Sequence[str],
    suites: Sequence[str],
) -> list[str]:
    """The names that the patterns fit; one that fits none is an InputError."""
    found: list[str] = []
    among = [name for name in there if name in known]
    for pattern in patterns:
        # Without --suite a name may also be one of the world's, which `owners` leaves out.
        exact = pattern in known and (pattern in among or not suites)
        fitting = [pattern] if exact else [name for name in among if fnmatchcase(name, pattern)]
        if not fitting:
            where = f" that suite {', '.join(suites)} reads" if suites else ""
            todo = did_you_mean(pattern, among, "`xstilts data ls` lists them")
            raise InputError(f"--{kind}: '{pattern}' fits no {kind}{where}; {todo}")
        found += fitting
    return list(dict.fromkeys(found))
