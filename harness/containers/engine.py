"""The Docker engine of this machine: connect to it, and say in one line why it does not work."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import requests
from docker.errors import APIError, DockerException
from urllib3.exceptions import ProtocolError

from harness.errors import WorkError

_ON_THE_HOST = "or run on this machine: --no-docker"
# ProtocolError: while an answer was read in parts (docker.api streams), which nothing wraps.
_GONE = (ConnectionRefusedError, FileNotFoundError, ConnectionResetError, ProtocolError)
_TIMEOUT = 600  # seconds; removing or exporting a large image keeps the engine busy for long


def connect() -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST (or the default socket) names.

    WorkError: it is not running, or its socket may not be used.
    """
    try:
        client = docker.from_env(timeout=_TIMEOUT)
        client.ping()
    except (DockerException, requests.RequestException, OSError) as error:
        raise WorkError(_unreachable(error)) from error
    return client


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """What the engine refuses while `doing` something becomes one line (WorkError)."""
    try:
        yield
    except APIError as error:
        raise WorkError(f"{doing}: {_reason(str(error.explanation or error))}") from error
    except (DockerException, requests.RequestException, ProtocolError) as error:
        if _caused_by(error, *_GONE):
            raise WorkError(f"{doing}: the Docker engine went away; start it again") from error
        raise WorkError(f"{doing}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    line = " ".join(text.split())
    if "no space left on device" in line.lower():
        return "the engine's disk is full; free some (docker system df shows what takes it)"
    return line


def _unreachable(error: BaseException) -> str:
    if _caused_by(error, PermissionError) or _has_errno(error, errno.EACCES):
        return (
            "docker: no permission on the engine's socket; join its group "
            f"(sudo usermod -aG docker $USER, then log in again), {_ON_THE_HOST}"
        )
    if _caused_by(error, FileNotFoundError, ConnectionRefusedError):
        return (
            "docker: the engine is not running; start it (sudo systemctl start docker), "
            f"{_ON_THE_HOST}"
        )
    line = " ".join(str(error).split())
    return f"docker: the engine cannot be reached: {line}; check DOCKER_HOST, {_ON_THE_HOST}"


def _caused_by(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in _chain(error))


def _has_errno(error: BaseException, number: int) -> bool:
    return any(getattr(one, "errno", None) == number for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all it was raised from or with; urllib3 also hides causes in its arguments."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__]
        todo += [part for part in one.args if isinstance(part, BaseException)]
