"""What `xstilts data check` misses and what is wrong, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.data import Finding, Split


def missing_files(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Each missing file once, with who needs it, how to get it and its licence."""
    needed: dict[str, list[Split]] = {}
    for finding in findings:
        for name in finding.missing:
            needed.setdefault(name, []).append(finding.split)
    return [
        {
            "file": name,
            "needed_by": list(dict.fromkeys(f"{split.owner}/{split.split}" for split in found)),
            "get": next((split.get for split in found if split.get), ""),
            "licence": next((split.licence for split in found if split.get), found[0].licence),
        }
        for name, found in needed.items()
    ]


def missing_lines(missing: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Missing files by how to get them (one paragraph may serve dozens), with the licence."""
    found: dict[tuple[str, str], list[str]] = {}
    for entry in missing:
        how = entry["get"] or f"the catalog does not say; see {', '.join(entry['needed_by'])}"
        found.setdefault((how, entry["licence"]), []).append(entry["file"])
    for (how, licence), files in found.items():
        yield from (f"missing: {file}" for file in files)
        yield f"  get {'it' if len(files) == 1 else 'them'}: {how}"
        yield f"  licence: {licence}"


def problems(findings: Sequence[Finding]) -> list[str]:
    """What is wrong with files that are there, a line each."""
    return list(dict.fromkeys(one.problem for one in findings if one.problem))
