"""Untrusted programs in a container: run within limits, watched, their output taken from them."""

from __future__ import annotations

import logging
import secrets
import tarfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import docker
from docker.models.containers import Container
from docker.types import Mount

from harness.containers.attached import STDERR, STDOUT, Attached
from harness.containers.collect import RefusedOutput, TarOutput, unpack
from harness.containers.ending import KILLED, state_at_end
from harness.containers.engine import engine_errors
from harness.containers.host_paths import appearing, readable_mounts, writing
from harness.containers.leftovers import (
    client_labels,
    remove_leftovers,
    removed_afterwards,
    uninterrupted,
)
from harness.containers.profile import Limits, output_volume, sandbox_options
from harness.errors import WorkError

# The files in a volume of memory live as long as a container that has it: this one waits for
# a word, then sends them. `read` fails when the client is gone, so that it ends by itself.
_KEEPER = ["sh", "-c", "read -r go && exec tar --format=gnu -C /output -cf - ."]
_KEEPER_SECONDS = 600
# Where NVIDIA's runtime is the default one, it passes all GPUs on unless told.
_NO_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
_LAST_WORDS = 200
_DEFAULTS = Limits()
log = logging.getLogger(__name__)

Status = Literal["done", "failed", "time", "memory", "output"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended; there is an output folder after "done" only.

    failed: its exit code is not 0. time, memory: it reached that limit. output: it wrote more
    text than it may, or files that are not taken. `stdout` and `stderr` are the first
    `log_bytes` of each, in the program's own words: not safe to print as they are.
    """

    status: Status
    exit_code: int | None  # None: it was stopped
    stdout: str
    stderr: str
    wall_seconds: float
    reason: str  # one line for people, safe to print


def run_sandboxed(
    engine: docker.DockerClient,
    image: str,
    command: Sequence[str],
    *,
    readable: Mapping[str, Path],
    output: Path,
    limits: Limits = _DEFAULTS,
    environment: Mapping[str, str] = {},
) -> Outcome:
    """Run `command`, trusting nothing of it; `output` gets the files that it left in /output.

    It sees the image, `readable` (container path to host path; not what is mounted below that)
    and nothing else of this machine. What killed clients left is removed first. InputError: a
    path, a limit or the image. WorkError: the engine went away or cannot limit, a disk is full.
    """
    remove_leftovers(engine, log.info)
    mounts = readable_mounts(readable)
    labels = client_labels("sandbox")
    name = f"xstilts-sandbox-{secrets.token_hex(8)}"
    output = output.resolve()

    def create() -> tuple[Container, Container]:
        options = sandbox_options(engine, image, limits) | {"labels": labels}
        engine.volumes.create(
            name, driver="local", driver_opts=output_volume(limits), labels=labels
        )
        # no_copy: the image's /output, if it has one, is neither copied nor its owner.
        keeper = engine.containers.create(
            name=f"{name}-keeper",
            entrypoint=_KEEPER,
            mounts=[Mount("/output", name, no_copy=True, read_only=True)],
            stdin_open=True,
            environment=_NO_GPU,
            **options,
        )
        job = engine.containers.create(
            name=name,
            entrypoint=list(command),
            mounts=[Mount("/output", name, no_copy=True), *mounts],
            environment={"HOME": "/tmp", **_NO_GPU, **environment},
            **options,
        )
        return keeper, job

    with appearing(output) as folder:
        with removed_afterwards(engine, labels), engine_errors("sandbox"):
            keeper, job = uninterrupted(create)
            with closing(Attached(keeper, stdin=True)) as files, closing(Attached(job)) as text:
                keeper.start()
                outcome = _watch(job, text, limits)
                if outcome.status == "done" and (
                    refusal := _collect(keeper, files, folder, limits)
                ):
                    outcome = replace(outcome, status="output", reason=refusal)
        if outcome.status == "done":
            with writing(output):
                folder.rename(output)
    return outcome


def _watch(job: Container, streams: Attached, limits: Limits) -> Outcome:
    """Start the program and read what it says, until it ends or reaches a limit."""
    text: dict[int, bytearray] = defaultdict(bytearray)
    start = time.monotonic()
    ended: float | None = None

    def outcome(
        status: Status,
        reason: str,
        exit_code: int | None = None,
    ) -> Outcome:
        stdout, stderr = (
            text[stream][: limits.log_bytes].decode(errors="backslashreplace")
            for stream in (STDOUT, STDERR)
        )
        seconds = (time.monotonic() if ended is None else ended) - start
        return Outcome(status, exit_code, stdout, stderr, seconds, reason)

    job.start()
    until = start + limits.seconds
    try:
        for stream, piece in streams.frames(until):
            text[stream] += piece
            if len(text[stream]) > limits.log_bytes:
                where = "output" if stream == STDOUT else "error"
                return outcome(
                    "output", f"stopped: more than {limits.log_bytes:,} bytes on standard {where}"
                )
        _wait(job, until)
    except TimeoutError:
        return outcome("time", f"stopped: it took longer than {limits.seconds:g} s")
    ended = time.monotonic()
    state = state_at_end(job)
    code = int(state["ExitCode"])
    if state["OOMKilled"] and code:  # with code 0 it was a child that it can do without
        reason = f"it needed more than {limits.memory_bytes:,} bytes of memory"
        return outcome("memory", reason, code)
    if code == KILLED:  # from outside: nothing in the container can kill its first process
        return outcome("failed", "killed, perhaps because this machine is short of memory", code)
    reason = f"exit code {code}{_last_words(text[STDERR])}"
    return outcome("failed" if code else "done", reason, code)


def _wait(container: Container, until: float) -> None:
    """Until it has ended: a program may close its streams and run on."""
    while True:
        container.reload()
        if not container.attrs["State"]["Running"]:
            return
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


def _last_words(stderr: bytearray) -> str:
    lines = stderr.decode(errors="replace").split("\n")
    return _quoted(next((line for line in reversed(lines) if line.strip()), ""))


def _quoted(line: str) -> str:
    return f": {line.strip()[:_LAST_WORDS]!r}" if line else ""


def _collect(keeper: Container, files: Attached, folder: Path, limits: Limits) -> str | None:
    """Fill `folder` with the output files; why they are not taken, None where they are."""
    until = time.monotonic() + _KEEPER_SECONDS
    source = TarOutput(files.frames(until))
    try:
        files.send(b"go\n", until)
        with writing(folder):
            unpack(source, folder, limits.output_bytes, limits.output_files)
        # A stream that is cut between two files looks whole, and tar leaves out what it may not
        # read: it says so.
        _wait(keeper, until)
        code = keeper.attrs["State"]["ExitCode"]
        if code or source.complaint:
            return f"output refused: exit code of tar {code}{_quoted(source.complaint)}"
    except RefusedOutput as error:
        return f"output refused: {error}"
    except (tarfile.TarError, TimeoutError) as error:
        if source.complaint:  # the program took away the right to read the folder itself
            return f"output refused{_quoted(source.complaint)}"
        raise WorkError(f"sandbox: the output did not come whole: {error}; try again") from error
    return None
