"""`xstilts validate`: records against `schemas/record.schema.json`, a line for each wrong file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from harness.errors import InputError, reading


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check records: files, or folders such as the one that `xstilts bench --out` wrote.

    Of a folder, every *.json in a folder called `records` at any depth is checked, or, where there
    is none, every *.json directly in it. Exit code 2 if a record is invalid.
    """
    from harness.results import validate_file  # noqa: PLC0415  (loads jsonschema)

    files = list(dict.fromkeys(_record_files(paths)))
    problems: dict[Path, str] = {}
    for path in files:
        try:
            validate_file(path)
        except InputError as error:
            problems[path] = str(error)
    if as_json:
        document = {
            "files": len(files),
            "invalid": [{"file": str(path), "error": text} for path, text in problems.items()],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for text in problems.values():
            click.echo(f"invalid: {text}")
        if not problems:
            click.echo(f"{_count(len(files))} valid")
    if problems:
        raise InputError(f"{len(problems)} of {_count(len(files))} invalid")


def _record_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        with reading(path):
            is_folder = path.is_dir()
        if not is_folder:
            yield path
            continue
        with reading(path):
            found = _found(path)
        if not found:
            raise InputError(
                f"{path}: no records here; expected records/*.json as xstilts bench writes them"
            )
        yield from found


def _found(folder: Path) -> list[Path]:
    """The records of a folder; OSError where one below it cannot be read, and might hide some."""

    def refuse(error: OSError) -> None:
        raise error

    folders = [Path(place) for place, _, _ in os.walk(folder, onerror=refuse)]
    inside = [path for one in folders if one.name == "records" for path in one.glob("*.json")]
    return sorted(inside) or sorted(folder.glob("*.json"))


def _count(files: int) -> str:
    return "1 record" if files == 1 else f"{files} records"
