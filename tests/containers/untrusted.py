"""Small Python programs run in the sandbox, and the check that nothing of them is left."""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import docker
import psutil

from harness.containers import leftovers
from harness.containers.profile import Limits
from harness.containers.sandbox import Outcome, run_sandboxed

SMALL = Limits(
    memory_bytes=128 << 20,
    cpus=1,
    processes=32,
    open_files=64,
    seconds=20,
    output_bytes=8 << 20,
    output_files=40,
    scratch_bytes=4 << 20,
    scratch_files=30,
    log_bytes=64 << 10,
)


@contextmanager
def own_label() -> Iterator[str]:
    """A run label that no other test and no other client of this engine uses."""
    label = f"org.xstilts.test.{secrets.token_hex(8)}"
    with mock.patch.object(leftovers, "RUN", label):
        yield label


def found(engine: docker.DockerClient, label: str) -> tuple[set[str], set[str]]:
    """Names of all containers and volumes with this label."""
    by_label = {"label": label}
    containers = engine.api.containers(all=True, filters=by_label)
    volumes = engine.api.volumes(filters=by_label)["Volumes"] or ()
    return {one["Names"][0] for one in containers}, {one["Name"] for one in volumes}


def processes(token: str) -> list[int]:
    """Processes of this machine that have `token` among their arguments."""
    every = psutil.process_iter(["cmdline"])
    return [one.pid for one in every if token in (one.info["cmdline"] or ())]


def run_code(
    engine: docker.DockerClient,
    image: str,
    output: Path,
    code: str,
    limits: Limits = SMALL,
    **options: Any,
) -> Outcome:
    """Run `code` and see that no container, volume, process or unfinished folder is left."""
    token = secrets.token_hex(16)
    command = ["python3", "-c", textwrap.dedent(code), token]
    options.setdefault("readable", {})
    with own_label() as label:
        outcome = run_sandboxed(engine, image, command, output=output, limits=limits, **options)
        assert found(engine, label) == (set(), set())
    assert processes(token) == []
    assert list(output.parent.glob(".*.partial")) == []
    assert output.is_dir() == (outcome.status == "done"), outcome
    assert "\n" not in outcome.reason
    assert outcome.reason.isprintable()
    return outcome
