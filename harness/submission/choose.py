"""Which records of a run make a submission: those of one model, one for each of XTREME's tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.catalog import Catalog, Target
from harness.errors import InputError, reading
from harness.results import read_record
from harness.submission.scores import xtreme_task

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A record, where it is, the target it scored, and the XTREME task that stands for."""

    path: Path
    record: Record
    target: Target
    task: Target


@dataclass(frozen=True, slots=True)
class Choice:
    """The records of a submission, and the names of targets that stand for no XTREME task."""

    chosen: tuple[Chosen, ...]
    left_out: tuple[str, ...]


# What the options of `xstilts export` choose by, in the order in which they are suggested.
FIELDS: Mapping[str, Callable[[Record], str]] = {
    "backbone": lambda r: str(r["backbone"]["name"]),
    "recipe": lambda r: str(r["recipe"]["name"]),
    "set": lambda r: str(r["source_set"]["name"]) if r["source_set"] else "none",
    "setting": lambda r: str(r["setting"]["name"]),
    "seed": lambda r: str(r["seed"]),
    "target": lambda r: str(r["target"]["name"]),
    "id": lambda r: str(r["id"]),
}
_OF_A_MODEL = ("backbone", "recipe", "setting", "seed")  # what all tasks must share
_OF_A_TASK = ("target", "set", "id")  # what one task may have only one of
# What tasks must share as well, and no option chooses by.
_UNNAMED: Mapping[str, Callable[[Record], str]] = {
    "the backbone's weights": lambda r: str(r["backbone"]["digest"]),
    "device, dtype or threads": lambda r: json.dumps(r["numerics"], sort_keys=True),
}
_ID_DIGITS = 8  # as in the names of record files


def choose_records(out: Path, catalog: Catalog, wanted: Mapping[str, Sequence[str]]) -> Choice:
    """The records of a run's folder that `wanted` (FIELDS to allowed values) leaves.

    InputError where they are of several models, or several for one task: with what to add.
    """
    records = _matching(out, _read(out), wanted)
    pairs = [(path, record, _target(catalog, path, record)) for path, record in records]
    left_out = dict.fromkeys(target.name for _, _, target in pairs if not target.submission)
    chosen = [
        Chosen(path, record, target, xtreme_task(catalog, target.submission))
        for path, record, target in pairs
        if target.submission
    ]
    if not chosen:
        raise InputError(
            f"{out}: nothing to export: {', '.join(left_out)} stand for no task of XTREME"
        )
    _refuse_several(out, chosen)
    _refuse_mixed(out, chosen)
    for one in chosen:
        if one.target.format != one.task.format:
            raise InputError(
                f"target '{one.target.name}' has format {one.target.format}, the task "
                f"{one.task.name} {one.task.format}; correct the target's `submission`"
            )
    return Choice(tuple(chosen), tuple(left_out))


def _read(out: Path) -> list[tuple[Path, Record]]:
    folder = out / "records"
    with reading(out):
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise InputError(f"{out}: no records/*.json here; give the --out of an xstilts bench")
    return [(path, read_record(path)) for path in files]


def _matching(
    out: Path, records: list[tuple[Path, Record]], wanted: Mapping[str, Sequence[str]]
) -> list[tuple[Path, Record]]:
    for name, values in wanted.items():
        field = FIELDS[name]
        for value in values:
            if not any(_fits(name, field(record), value) for _, record in records):
                here = ", ".join(_shown(name, [field(record) for _, record in records]))
                raise InputError(f"{out}: no such record has {name} {value}; there is {here}")
        if values:
            records = [
                (path, record)
                for path, record in records
                if any(_fits(name, field(record), value) for value in values)
            ]
    return records


def _fits(name: str, value: str, asked: str) -> bool:
    return value.startswith(asked) if name == "id" else value == asked


def _target(catalog: Catalog, path: Path, record: Record) -> Target:
    name = record["target"]["name"]
    if name not in catalog.targets:
        raise InputError(
            f"{path}: target '{name}' is not in the catalog; name the folder it is in with "
            "--catalog DIR"
        )
    return catalog.targets[name]


def _refuse_several(out: Path, chosen: Sequence[Chosen]) -> None:
    varied = [name for name in _OF_A_MODEL if len(_values(name, chosen)) > 1]
    if not varied:
        for task in dict.fromkeys(one.task.name for one in chosen):
            group = [one for one in chosen if one.task.name == task]
            if len(group) > 1:
                # The id tells apart what nothing else does: arithmetic, data, hyper-parameters.
                differ = [name for name in _OF_A_TASK if len(_values(name, group)) > 1]
                if not differ:
                    raise InputError(
                        f"{group[0].path} and {group[1].path}: are the same record; remove one"
                    )
                varied = differ[:1]
                chosen = group
                break
    if varied:
        models = dict.fromkeys(_model(one) for one in chosen)
        options = ", ".join(
            f"--{name} ({', '.join(_shown(name, _values(name, chosen)))})" for name in varied
        )
        raise InputError(
            f"{out}: a submission is of one model and has one result per task, but "
            f"{len(chosen)} records fit: {'; '.join(models)}; add {options}"
        )


def _refuse_mixed(out: Path, chosen: Sequence[Chosen]) -> None:
    """InputError where records share all names, but not the backbone's weights or arithmetic."""
    for what, of in _UNNAMED.items():
        groups: dict[str, Chosen] = {}
        for one in chosen:
            groups.setdefault(of(one.record), one)
        if len(groups) > 1:
            first, second, *_ = groups.values()
            raise InputError(
                f"{out}: a submission is of one model, but {first.path.name} and "
                f"{second.path.name} differ in {what}; add --id of the records to take"
            )


def _model(one: Chosen) -> str:
    parts = [
        FIELDS[name](one.record) for name in ("target", "backbone", "recipe", "set", "setting")
    ]
    return " ".join([*parts, f"seed {one.record['seed']}", str(one.record["id"])[:_ID_DIGITS]])


def _values(name: str, chosen: Sequence[Chosen]) -> list[str]:
    return list(dict.fromkeys(FIELDS[name](one.record) for one in chosen))


def _shown(name: str, values: Sequence[str]) -> list[str]:
    cut = [value[:_ID_DIGITS] if name == "id" else value for value in values]
    return list(dict.fromkeys(cut))
