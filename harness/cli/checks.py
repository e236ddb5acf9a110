"""Reports of checks, as `doctor` and `image check` print them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import click

from harness.errors import WorkError

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `remedy` says what to do and is empty where all is well."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def report(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print all checks, a line each; WorkError (exit code 1) if one failed."""
    failed = [check.name for check in checks if check.status == "fail"]
    if as_json:
        document = {"ready": not failed, "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            remedy = f"; {check.remedy}" if check.remedy else ""
            click.echo(f"{check.status:<4}  {check.name:<{width}}  {check.found}{remedy}")
    if failed:
        raise WorkError(f"not ready: {', '.join(failed)}")
