"""Records: building them, what must hold in them beyond the schema, reading and writing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.canonical import digest, file_digest, plain
from harness.errors import InputError, WorkError
from harness.results.schema import check_schema, load_json, shown
from harness.results.signature import record_signature, short
from harness.results.statistics import Margin, average_scores

SCHEMA_VERSION = 1
VOLATILE = ("costs", "environment")  # the only blocks that two equal runs may differ in
ZERO_SHOT = ("nothing", "language")
_TOLERANCE = 1e-9
_DERIVED = ("schema_version", "id", "signature", "averages")
_AVERAGES = ("all", "zero_shot", "train_language", "low_resource")


def language_score(
    *,
    metrics: Mapping[str, float],
    score: float,
    n: int,
    seen: str,
    floor: float,
    margin: Margin,
    tuned: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The entry of one language in `scores`; all scores in percent.

    `tuned` is what was chosen on a dev set of the language, and the scores there.
    """
    return {
        "metrics": {name: _percent(value) for name, value in metrics.items()},
        "score": _percent(score),
        "n": n,
        "seen": seen,
        "floor": {"score": _percent(floor)},
        "above_floor": {
            "beats": margin.beats,
            "margin": margin.margin,
            "lower_bound": margin.lower_bound,
            "confidence": margin.confidence,
            "method": margin.method,
        },
        **({"tuned": dict(tuned)} if tuned is not None else {}),
    }


def low_resource_definition(text: str, languages: Sequence[str]) -> dict[str, Any] | None:
    """The block that says what low-resource means; None for an empty definition."""
    if not text or not languages:
        return None
    names = sorted(set(languages))
    return {"id": short([text, names]), "text": text, "languages": names}


def build_record(
    parts: Mapping[str, Any], *, low_resource: str = "", low_resource_languages: Sequence[str] = ()
) -> dict[str, Any]:
    """A whole, valid record from everything that is not derived (see docs/record-format.md).

    Adds schema_version, averages, id and signature; InputError where a part is wrong.
    """
    for key in _DERIVED:
        if key in parts:
            raise InputError(f"record: {key}: is derived from the rest; leave it out")
    record: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **plain(parts)}
    try:
        definition = low_resource_definition(low_resource, low_resource_languages)
        record["averages"] = averages(record["scores"], record["target"], definition)
        record["id"] = record_id(record)
        record["signature"] = record_signature(record)
    except KeyError as error:
        raise InputError(f"record: {error.args[0]}: is missing") from error
    except ValueError as error:
        raise InputError(f"record: {error}") from error
    validate_record(record, "record")
    return record


def averages(
    scores: Mapping[str, Any], target: Mapping[str, Any], definition: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The `averages` block: means of task scores over languages, each language counted once."""
    values = {code: entry["score"] for code, entry in scores.items()}
    order, home = list(target["languages"]), target["train_language"]
    zero_shot = [c for c in order if c != home and scores[c]["seen"] in ZERO_SHOT]
    low = definition["languages"] if definition else ()
    chosen = {
        "all": order,
        "zero_shot": zero_shot,
        "train_language": [c for c in order if c == home],
        "low_resource": [c for c in zero_shot if c in low],
    }
    return {
        **{name: _average(values, languages) for name, languages in chosen.items()},
        "low_resource_definition": dict(definition) if definition else None,
    }


def record_id(record: Mapping[str, Any]) -> str:
    """SHA-256 of what the record is about; scores, costs and environment are no part of it."""
    keys = ("backbone", "recipe", "source_set", "target", "setting", "seed", "numerics")
    identity = {key: record[key] for key in keys}
    identity["fingerprints"] = record["data"]["fingerprints"]
    identity["low_resource"] = record["averages"]["low_resource_definition"]
    return digest(identity)


def reproducible(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without its volatile blocks: equal for two runs with one seed on one machine."""
    return {key: value for key, value in record.items() if key not in VOLATILE}


def validate_record(document: Any, where: str) -> None:
    """Raise InputError where a document breaks the schema or contradicts itself."""
    check_schema(document, "record", where)
    _check_scores(document, where)
    _check_averages(document, where)
    _check_overlap(document, where)
    _check_sources(document, where)
    try:
        derived = {"id": record_id(document), "signature": record_signature(document)}
    except ValueError as error:
        raise InputError(f"{where}: signature: cannot be derived: {error}") from error
    for key, value in derived.items():
        if document[key] != value:
            raise _contradiction(where, key, document[key], value)


def validate_file(path: Path) -> None:
    """Raise InputError where a file is not a valid record, or a file it names has another hash.

    Files that are not there are no error: a record may travel without its store.
    """
    for name, entry in read_record(path)["files"].items():
        file = path.parent / entry["path"]
        try:
            if not file.is_file():
                continue
            found = file_digest(file)
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
        if found != entry["sha256"]:
            raise InputError(
                f"{path}: files.{name}: {file} has SHA-256 {found}; the record says "
                f"{entry['sha256']}; run its suite again, which makes a damaged file anew"
            )


def read_record(path: Path) -> dict[str, Any]:
    """A record from its file, validated."""
    document = load_json(path)
    validate_record(document, str(path))
    assert isinstance(document, dict)  # the schema says so
    return document


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Validate, then write sorted, indented JSON so that a reader sees the old or the new file."""
    document = plain(record)
    validate_record(document, str(path))
    write_json(path, document)


def write_json(path: Path, document: Any) -> None:
    """Write sorted, indented JSON so that a reader sees the old or the new file, never a part."""
    body = plain(document)
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as handle:
            handle.write(text + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkError(
            f"{path}: cannot be written: {error.strerror or error}; check the folder and free space"
        ) from error


def _average(values: Mapping[str, float], languages: Sequence[str]) -> dict[str, Any] | None:
    score = average_scores(values, languages)
    if score is None:
        return None
    return {"score": score, "languages": list(languages), "n_languages": len(languages)}


def _percent(value: float) -> float:
    # A sum of fractions may end at 100.00000000000001; anything further out is an error to show.
    return min(max(float(value), 0.0), 100.0) if -_TOLERANCE < value < 100 + _TOLERANCE else value


def _check_scores(document: Mapping[str, Any], where: str) -> None:
    languages, scores = document["target"]["languages"], document["scores"]
    if set(scores) != set(languages):
        odd = sorted(set(scores) ^ set(languages))
        raise InputError(
            f"{where}: scores: {odd[0]} is in only one of scores and target.languages; "
            f"allowed are exactly {', '.join(languages)}"
        )
    for code, entry in scores.items():
        above, place = entry["above_floor"], f"scores.{code}.above_floor"
        margin = entry["score"] - entry["floor"]["score"]
        if abs(above["margin"] - margin) > _TOLERANCE:
            raise _contradiction(where, f"{place}.margin", above["margin"], margin)
        if above["beats"] != (above["lower_bound"] > 0):
            raise _contradiction(where, f"{place}.beats", above["beats"], not above["beats"])


def _check_averages(document: Mapping[str, Any], where: str) -> None:
    found = document["averages"]
    definition = found["low_resource_definition"]
    if definition is not None:
        expected = low_resource_definition(definition["text"], definition["languages"])
        if definition != expected:
            raise _contradiction(where, "averages.low_resource_definition", definition, expected)
    derived = averages(document["scores"], document["target"], definition)
    for name in _AVERAGES:
        got, want, place = found[name], derived[name], f"averages.{name}"
        if got is None or want is None:
            if got is not want:
                raise _contradiction(where, place, got, want)
            continue
        for key in ("languages", "n_languages"):
            if got[key] != want[key]:
                raise _contradiction(where, f"{place}.{key}", got[key], want[key])
        if abs(got["score"] - want["score"]) > _TOLERANCE:
            raise _contradiction(where, f"{place}.score", got["score"], want["score"])


def _check_overlap(document: Mapping[str, Any], where: str) -> None:
    scores = document["scores"]
    for code, counts in document["data"]["overlap"].items():
        if code not in scores:
            raise InputError(
                f"{where}: data.overlap.{code}: is not scored; allowed are {', '.join(scores)}"
            )
        if any(counts.values()) and scores[code]["seen"] != "data":
            raise InputError(
                f"{where}: scores.{code}.seen: got {shown(scores[code]['seen'])}; "
                f'allowed is "data": data.overlap.{code} counts shared examples'
            )


def _check_sources(document: Mapping[str, Any], where: str) -> None:
    source_set, trained = document["source_set"], set(document["setting"]["sources"])
    wanted = set(source_set["sources"]) if source_set else set[str]()
    if trained != wanted:
        odd = sorted(trained ^ wanted)[0]
        raise InputError(
            f"{where}: setting.sources: {odd} is in only one of it and source_set.sources; "
            f"allowed are exactly {', '.join(sorted(wanted)) or 'none'}"
        )
    given = {
        name: used["adapter"]
        for name, used in document["setting"]["sources"].items()
        if "adapter" in used
    }
    described = {
        name: one["digest"] for name, one in document["data"].get("external", {}).items()
    }
    if given != described:
        raise _contradiction(where, "data.external", described, given)


def _contradiction(where: str, place: str, got: Any, want: Any) -> InputError:
    return InputError(
        f"{where}: {place}: got {shown(got)}; the rest of the record gives {shown(want)}"
    )
