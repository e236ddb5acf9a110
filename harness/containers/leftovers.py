"""Labels on all containers and volumes that we make, and removal of what a killed client left."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import docker
import psutil
from docker.errors import APIError

from harness.containers.engine import engine_errors

T = TypeVar("T")

RUN = "org.xstilts.run"
PURPOSE = "org.xstilts.purpose"
_HOST = "org.xstilts.client.host"
_NAMESPACE = "org.xstilts.client.pid-namespace"
_PID = "org.xstilts.client.pid"
_STARTED = "org.xstilts.client.started"  # seconds after boot: the clock may be set meanwhile


def client_labels(purpose: str) -> dict[str, str]:
    """Labels for all that one run makes in the engine: a new run id, and who this client is."""
    return {
        RUN: secrets.token_hex(8),
        PURPOSE: purpose,
        _HOST: socket.gethostname(),
        _NAMESPACE: _pid_namespace(),
        _PID: str(os.getpid()),
        _STARTED: _started(psutil.Process()),
    }


def remove_leftovers(engine: docker.DockerClient, say: Callable[[str], None]) -> int:
    """Remove containers and volumes of clients that are dead for sure; the number of containers.

    Several clients may do so at once. WorkError: the engine refuses or went away.
    """
    return _remove(engine, RUN, _client_is_dead, say)


@contextmanager
def removed_afterwards(engine: docker.DockerClient, labels: Mapping[str, str]) -> Iterator[None]:
    """On every way out, containers and volumes with the run id of `labels` are removed.

    Where that fails too, the first error stays and has a note of the second.
    """

    def remove() -> None:
        # Found by label, not by handle: Ctrl-C may come before the engine's answer did.
        _remove(engine, f"{RUN}={labels[RUN]}", lambda _: True, lambda _: None)

    try:
        yield
    except BaseException as error:
        try:
            uninterrupted(remove)
        except Exception as second:
            error.add_note(f"{second}; what is left is removed at the next start")
        raise
    uninterrupted(remove)


def uninterrupted(work: Callable[[], T]) -> T:
    """Do `work` to its end also when Ctrl-C comes meanwhile, which is raised afterwards.

    An engine goes on making a container when its client has hung up, and nobody would remove it.
    """
    outcome: Future[T] = Future()

    def do() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    stop: BaseException | None = None
    thread = threading.Thread(target=do)
    while True:
        try:
            if thread.ident is None:
                thread.start()
            thread.join()
            break
        except (KeyboardInterrupt, SystemExit) as error:
            stop = error
    if stop is not None:
        raise stop
    return outcome.result()


def _remove(
    engine: docker.DockerClient,
    label: str,
    chosen: Callable[[Mapping[str, str]], bool],
    say: Callable[[str], None],
) -> int:
    removed = 0
    api, found = engine.api, {"label": label}
    with engine_errors("removing containers"):
        for one in api.containers(all=True, filters=found):
            if chosen(one["Labels"]) and _gone(api.remove_container, one["Id"], v=True, force=True):
                removed += 1
                what = f"{one['Labels'][PURPOSE]} ({one['Names'][0].lstrip('/')})"
                say(f"removed a container left by a client that was killed: {what}")
        for one in api.volumes(filters=found)["Volumes"] or ():
            if chosen(one["Labels"]):
                _gone(api.remove_volume, one["Name"])
    return removed


def _gone(remove: Callable[..., None], name: str, **options: bool) -> bool:
    """Remove it; False where another client did, or is at it (its volumes are in use then)."""
    try:
        remove(name, **options)
    except APIError as error:
        if error.status_code not in (404, 409):
            raise
        return False
    return True


def _client_is_dead(labels: Mapping[str, str]) -> bool:
    """Whether the client is dead for sure: one of this host and pid namespace, and not there."""
    if labels[_HOST] != socket.gethostname() or labels[_NAMESPACE] != _pid_namespace():
        return False
    pid = int(labels[_PID])
    try:
        os.kill(pid, 0)
        process = psutil.Process(pid)
        return _started(process) != labels[_STARTED] or process.status() == psutil.STATUS_ZOMBIE
    except ProcessLookupError:
        return True
    except (PermissionError, psutil.Error):  # somebody else's, perhaps hidden from us
        return False


def _started(process: psutil.Process) -> str:
    return f"{process.create_time() - psutil.boot_time():.2f}"


def _pid_namespace() -> str:
    link = Path("/proc/self/ns/pid")
    return str(link.readlink()) if link.is_symlink() else ""
