"""A run's predictions (and, if asked, its gold) as files in XTREME's submission layout."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from harness.canonical import file_digest
from harness.data import DataContext, Example, load_split
from harness.errors import InputError, WorkError, reading
from harness.submission.answers import Answers
from harness.submission.choose import Choice, Chosen
from harness.submission.layout import Row
from harness.submission.scores import layout_of

Texts = dict[str, str]  # file below the submission's folder to its text


@dataclass(frozen=True, slots=True)
class Submission:
    """The texts of all files, and of the gold's where that was asked for."""

    predictions: Texts
    gold: Texts


def make_submission(choice: Choice, context: DataContext, *, with_gold: bool) -> Submission:
    """The files of the chosen records, in the languages that they have.

    `context` says where the scored data is; it is read only for the gold and where predictions
    cannot be written without (Tatoeba, BUCC). InputError where data or predictions are not the
    record's.
    """
    predictions, gold = Texts(), Texts()
    for one in choice.chosen:
        layout = layout_of(one.task)
        _refuse_positions(one)
        rows = _predictions(one)
        for code in one.record["target"]["languages"]:
            name = f"{one.task.name}/{layout.file_name(code)}"
            needed = with_gold or layout.needs_examples
            examples = _examples(one, code, rows[code], context) if needed else ()
            try:
                predictions[name] = layout.predictions_text(rows[code], examples, one.task)
                if with_gold:
                    gold[name] = layout.gold_text(examples, one.task)
            except InputError as error:
                raise InputError(f"{one.target.name} ({code}): {error}") from error
    return Submission(predictions, gold)


def check_free(folder: Path) -> None:
    """InputError unless a folder is not there yet, or empty."""
    with reading(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is there already; name a folder that is not, or empty it")


def check_apart(folders: Sequence[Path]) -> None:
    """InputError where a folder is another one, or lies inside it."""
    for one, other in permutations(folders, 2):
        if one.resolve().is_relative_to(other.resolve()):
            where = "the same folder as" if one.resolve() == other.resolve() else "inside"
            raise InputError(f"{one}: is {where} {other}; name folders beside each other")


def write_folders(folders: Mapping[Path, Texts]) -> None:
    """Write all files into new folders, all of them or none; WorkError where that fails."""
    staged = {
        folder: folder.absolute().with_name(f".{folder.absolute().name}.{secrets.token_hex(4)}.tmp")
        for folder in folders
    }
    shown: list[Path] = []
    folder = Path()
    try:
        for folder, texts in folders.items():
            for name, text in texts.items():
                path = staged[folder] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
        for folder, partial in staged.items():
            partial.rename(folder)
            shown.append(folder)
    except OSError as error:
        for made in shown:
            shutil.rmtree(made, ignore_errors=True)
        raise WorkError(
            f"{folder}: cannot be written: {error.strerror or error}; check the folder and free "
            "space"
        ) from error
    finally:
        for partial in staged.values():
            shutil.rmtree(partial, ignore_errors=True)


def _refuse_positions(one: Chosen) -> None:
    """InputError where a run had to invent the ids by which the layout tells answers apart."""
    if layout_of(one.task).format != Answers.format:
        return
    for code in one.record["target"]["languages"]:
        pieces = one.target.test.pieces(code)
        if any(piece.options.get("ids") == "position" for piece in pieces):
            raise InputError(
                f"{one.target.name} ({code}): question ids repeat in its files, so the run tells "
                "its questions apart by their position; XTREME's layout has one answer per id and "
                "cannot hold them; name the other targets with --target"
            )


def _predictions(one: Chosen) -> dict[str, list[Row]]:
    """Rows by language, from the file that the record names."""
    entry = one.record["files"]["predictions"]
    file = one.path.parent / entry["path"]
    with reading(file):
        found = file_digest(file)
    if found != entry["sha256"]:
        raise InputError(
            f"{file}: has SHA-256 {found[:12]}, {one.path} says {entry['sha256'][:12]}; run its "
            "suite again, which makes a damaged file anew"
        )
    rows: dict[str, list[Row]] = {code: [] for code in one.record["target"]["languages"]}
    for line in file.read_bytes().split(b"\n")[:-1]:  # splitlines() of text cuts at U+2028, too
        row = json.loads(line)
        rows[row["language"]].append(Row(row["id"], row["prediction"]))
    return rows


def _examples(
    one: Chosen, code: str, rows: Sequence[Row], context: DataContext
) -> Sequence[Example]:
    """The scored examples, if they are still what the record scored."""
    target = one.target
    name = f"{target.name}/test"
    dataset = load_split(target.test, code, target.labels, context, name)
    fingerprint: Any = one.record["data"]["fingerprints"].get(f"{name}/{code}")
    if dataset.fingerprint != fingerprint or [e.id for e in dataset.examples] != [
        row.id for row in rows
    ]:
        raise InputError(
            f"{one.path}: {name} ({code}) has fingerprint {str(fingerprint)[:12]} there, the data "
            f"that is here {dataset.fingerprint[:12]}; give the data, catalog and --bad-rows that "
            "the run had"
        )
    return dataset.examples
