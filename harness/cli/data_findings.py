"""What `xstilts data check` found, a row per split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from harness.data import Finding, left_out

_UNDEFINED = "–"
_LEGEND = """examples: as used, without what overlaps
bad: malformed rows; mended, dropped: answers whose offset was wrong; left out: rows without a
usable label or answer; all of them in the whole files, also where a split is a part (why: --json)
overlap: training rows that are also scored, or kept out by a target"""


def finding_row(finding: Finding) -> dict[str, Any]:
    """A split with what reading it found."""
    split, dataset = finding.split, finding.dataset
    counts = dict(dataset.counts) if dataset is not None else {}
    return {
        "name": split.owner,
        "split": split.split,
        "language": split.language,
        "status": "ok" if finding.ok else "missing" if finding.missing else "wrong",
        "examples": len(dataset) if dataset is not None else None,
        "bad": counts.get("bad_rows_skipped", 0),
        "mended": counts.get("answers_mended", 0),
        "dropped": counts.get("answers_dropped", 0),
        "left_out": sum(left_out(counts).values()),
        "overlap": counts.get("overlap_dropped", 0),
        "fingerprint": dataset.fingerprint if dataset is not None else finding.digest or None,
        "counts": counts,
        "missing": list(finding.missing),
        "problem": finding.problem,
    }


def findings_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text, with what the columns mean."""
    shown = ("name", "split", "language", "examples", "bad", "mended", "dropped", "left_out",
             "overlap")  # fmt: skip
    body = [
        [*(row[key] for key in shown), (row["fingerprint"] or row["status"])[:12]] for row in rows
    ]
    header = [*(name.replace("_", " ") for name in shown), "fingerprint"]
    return f"{tabulate(body, headers=header, missingval=_UNDEFINED)}\n\n{_LEGEND}\n"
