"""A bench in a container: what it sees of the host, its output as it comes, signals, its end."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import DeviceRequest, LogConfig, Mount

from harness.containers import CLIENT_VARIABLE
from harness.containers.attached import STDERR, STDOUT, Attached
from harness.containers.ending import state_at_end
from harness.containers.engine import engine_errors
from harness.containers.leftovers import client_labels, remove_leftovers, removed_afterwards
from harness.errors import InputError, WorkError
from harness.results import IMAGE_VARIABLE

_TMP_BYTES = 1 << 30
_SHARED_MEMORY_BYTES = 256 << 20
_POLL_SECONDS = 0.1
_KILL_AFTER = 3  # signals


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, and all of the host that it may see or take.

    Paths are the same inside, so that what it prints is true outside.
    """

    arguments: Sequence[str]
    folder: Path  # working directory; not mounted by itself
    readable: Sequence[Path]
    writable: Sequence[Path]
    network: bool
    memory_bytes: int
    cpus: float | None = None  # None: all
    gpu: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def run_job(engine: docker.DockerClient, image: str, job: Job, say: Callable[[str], None]) -> int:
    """Run the job, pass on its output and our signals; its exit code. The container is removed.

    What killed clients left behind is removed first.
    """
    remove_leftovers(engine, say)
    labels = client_labels("bench")
    with (
        _signals() as received,
        _made(job.writable),
        removed_afterwards(engine, labels),
        engine_errors("running the container"),
    ):
        container = _create(engine, image, job, labels)
        with closing(Attached(container, stdin=True)) as streams:
            return _attend(container, streams, job, received)


def _create(engine: docker.DockerClient, image: str, job: Job, labels: dict[str, str]) -> Container:
    info = engine.info()
    security = info.get("SecurityOptions") or []
    user = _user(security)
    # An engine without root knows no groups of the machine, its root is the caller.
    groups = [] if user == "0:0" else [str(group) for group in os.getgroups()]
    # Relabelling the user's folders for SELinux would outlive the container.
    unlabelled = ["label=disable"] if any("name=selinux" in one for one in security) else []
    memory = min(job.memory_bytes, int(info["MemTotal"]))  # of Docker Desktop's machine
    gpus = {} if job.gpu else {"NVIDIA_VISIBLE_DEVICES": "void"}
    places = dict.fromkeys(job.readable, True) | dict.fromkeys(job.writable, False)
    return engine.containers.create(
        image,
        list(job.arguments),
        name=f"xstilts-bench-{secrets.token_hex(4)}",
        labels=labels,
        init=True,  # passes signals on and collects the workers' children
        stdin_open=True,
        user=user,
        group_add=groups,
        working_dir=str(job.folder),
        environment={**gpus, **job.environment, IMAGE_VARIABLE: image, CLIENT_VARIABLE: "1"},
        mounts=[
            Mount(str(path), str(path), type="bind", read_only=read_only)
            for path, read_only in places.items()
        ],
        read_only=True,
        tmpfs={"/tmp": f"size={_TMP_BYTES},mode=1777"},
        shm_size=_SHARED_MEMORY_BYTES,
        network_mode="bridge" if job.network else "none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges", *unlabelled],
        mem_limit=memory,
        memswap_limit=memory,
        nano_cpus=None if job.cpus is None else round(job.cpus * 1e9),
        device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])] if job.gpu else None,
        log_config=LogConfig(type="none"),  # we read it all as it comes
    )


def _attend(
    container: Container,
    streams: Attached,
    job: Job,
    received: list[int],
) -> int:
    """Start the container and stay with it until its end."""
    container.start()
    failed: list[OSError] = []
    reader = threading.Thread(target=_pass_on, args=(streams, received, failed), daemon=True)
    reader.start()
    passed, ended = 0, False
    while not ended:
        reader.join(_POLL_SECONDS)
        ended = not reader.is_alive()
        while passed < len(received):
            number = received[passed]
            passed += 1
            with suppress(APIError):  # it has ended meanwhile
                container.kill(signal.SIGKILL if passed >= _KILL_AFTER else number)
    code = int(container.wait()["StatusCode"])
    if failed and not isinstance(failed[0], BrokenPipeError):
        raise failed[0]
    # Not waited for: what we killed ourselves, as somebody is in a hurry, and bad input.
    unclear = code not in (0, InputError.exit_code) and passed < _KILL_AFTER
    if unclear and state_at_end(container)["OOMKilled"]:
        raise WorkError(
            f"the container reached its memory limit of {job.memory_bytes >> 20:,} MiB; --memory "
            "raises it, --workers 1 needs less; finished steps are kept"
        )
    return code


def _pass_on(streams: Attached, received: list[int], failed: list[OSError]) -> None:
    """Write what the container says to our own streams until it says no more.

    Where that fails (`| head`, a full disk) the container is asked to stop, and the rest is read
    and dropped: a container that nobody reads cannot end.
    """
    ours = {STDOUT: sys.stdout, STDERR: sys.stderr}
    for number, piece in streams.frames(until=None):
        if failed or ours[number] is None:  # None: closed by who started us
            continue
        try:
            ours[number].buffer.write(piece)
            ours[number].flush()
        except OSError as error:
            failed.append(error)
            received.append(signal.SIGTERM)


@contextmanager
def _made(folders: Sequence[Path]) -> Iterator[None]:
    """The folders are there, as the engine wants them; those that stay empty are removed again."""
    new = [folder for folder in folders if not folder.exists()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in reversed(new):
            with suppress(OSError):  # it holds results now
                folder.rmdir()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM as a growing list of numbers instead of exceptions."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _user(security: Sequence[str]) -> str | None:
    """Who owns what is written: the caller. An engine without root maps its own root to that."""
    if not hasattr(os, "getuid"):
        return None
    rootless = any("name=rootless" in option for option in security)
    return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"
