"""What `xstilts data check` found, as the Markdown tables of docs/targets.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.catalog import Catalog
from harness.data import Finding, left_out

_NO_LANGUAGE = ""  # the target does not score it
_NO_GOLD = "no gold"  # XTREME does, but this target's files do not have it


def markdown(findings: Sequence[Finding], catalog: Catalog) -> str:
    """Rows that train and select, one line per split; scored rows by language and target."""
    return f"{_training(findings)}\n\n{_scored(findings, catalog)}"


def _training(findings: Sequence[Finding]) -> str:
    header = ("used by", "split", "language", "rows used", "left out", "overlap dropped")
    body = []
    for finding in findings:
        split, data = finding.split, finding.dataset
        if split.split in ("test", "keep_out", "adapter"):
            continue
        counts = data.counts if data is not None else {}
        unused = [
            f"{count:,} {name.removesuffix('_dropped').replace('_', ' ')}"
            for name, count in left_out(counts).items()
        ]
        rows = _status(finding) if data is None else f"{len(data):,}"
        dropped = counts.get("overlap_dropped", 0)
        body.append((split.owner, split.split, split.language, rows, ", ".join(unused),
                     f"{dropped:,}" if dropped else ""))  # fmt: skip
    return markdown_table(header, body, right=(3, 5))


def _scored(findings: Sequence[Finding], catalog: Catalog) -> str:
    cells: dict[str, dict[str, str]] = {}
    for finding in findings:
        if finding.split.split == "test":
            data = finding.dataset
            shown = _status(finding) if data is None else f"{len(data):,}"
            cells.setdefault(finding.split.owner, {})[finding.split.language] = shown
    for name, column in cells.items():
        for language in _official(catalog, name):
            column.setdefault(language, _NO_GOLD)
    languages = [code for code in catalog.languages if any(code in one for one in cells.values())]
    body = [
        (
            code,
            catalog.language(code).name,
            *(one.get(code, _NO_LANGUAGE) for one in cells.values()),
        )
        for code in languages
    ]
    totals = (f"{_total(findings, name):,}" for name in cells)
    numbers = tuple(range(2, 2 + len(cells)))
    return markdown_table(("", "language", *cells), [*body, ("", "all", *totals)], right=numbers)


def _official(catalog: Catalog, name: str) -> Iterable[str]:
    """The languages of the XTREME task that a target stands for."""
    official: Mapping[str, tuple[str, ...]] = {
        one.submission: one.languages for one in catalog.targets.values() if one.group
    }
    return official.get(catalog.target(name).submission, ())


def _total(findings: Sequence[Finding], name: str) -> int:
    return sum(
        len(finding.dataset)
        for finding in findings
        if finding.split.owner == name
        and finding.split.split == "test"
        and finding.dataset is not None
    )


def _status(finding: Finding) -> str:
    return "missing" if finding.missing else "wrong"


def markdown_table(
    header: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int]
) -> str:
    """A Markdown table; the columns `right` hold numbers."""
    rule = ["---:" if column in right else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *body))
