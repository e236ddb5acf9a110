"""The Docker engine of this machine: connect to it, and say in one line why it does not work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image
from urllib3.exceptions import ProtocolError

from harness.errors import WorkError

# ProtocolError: while an answer was read in parts (docker.api streams), which nothing wraps.
_GONE = (ConnectionRefusedError, FileNotFoundError, ConnectionResetError, ProtocolError)
_SOCKET = "unix:///var/run/docker.sock"
_ARCHITECTURE = "amd64"  # of the locks' wheels, in the engine's words
_HELLO_TIMEOUT = 15  # seconds; one that is busy answers, one that hangs never does
_TIMEOUT = 600  # seconds; removing or exporting a large image keeps the engine busy for long


class EngineUnreachable(WorkError):
    """No engine that can be used: `problem` says why, `remedy` what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        host = "or run on this machine: xstilts bench --no-docker"
        super().__init__(f"docker: {problem}; {remedy}, {host}")
        self.problem = problem
        self.remedy = remedy


def connect() -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST, else the `docker` command's context, names.

    EngineUnreachable: it is not running, its socket may not be used, it is on another machine or
    for another architecture.
    """
    host, named_by = _address()
    if not host.startswith(("unix:", "npipe:")):
        raise EngineUnreachable(
            f"{named_by} names {host}, which does not see this machine's folders",
            "name a socket such as unix:///var/run/docker.sock with DOCKER_HOST",
        )
    try:
        client = docker.DockerClient(base_url=host, timeout=_HELLO_TIMEOUT)
        architecture = client.version()["Arch"]
        client.api.timeout = _TIMEOUT
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unreachable(error, f"{host} ({named_by})") from error
    if architecture != _ARCHITECTURE:
        raise EngineUnreachable(
            f"the engine is for {architecture}, the images are for {_ARCHITECTURE}",
            "use another machine",
        )
    return client


def _address() -> tuple[str, str]:
    """The engine's address, and what names it."""
    if host := os.environ.get("DOCKER_HOST"):
        return host, "DOCKER_HOST"
    context = ContextAPI.get_current_context()
    if not context.Host:
        return _SOCKET, "by default"
    return context.Host, f"docker context {context.name}"


def passes_gpus(client: docker.DockerClient) -> bool:
    """Whether containers can get NVIDIA GPUs: the NVIDIA Container Toolkit is set up."""
    with engine_errors("docker info"):
        return "nvidia" in client.info().get("Runtimes", {})


def find_image(client: docker.DockerClient, name: str) -> Image | None:
    """The image of that name, digest or id, if the engine has it."""
    with engine_errors("docker image inspect"):
        try:
            return client.images.get(name)
        except ImageNotFound:
            return None


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


def _unreachable(error: BaseException, where: str) -> EngineUnreachable:
    if _caused_by(error, PermissionError):
        return EngineUnreachable(
            f"no permission on the engine's socket {where}",
            "join its group (sudo usermod -aG docker $USER, then log in again)",
        )
    if _caused_by(error, FileNotFoundError, ConnectionRefusedError):
        return EngineUnreachable(
            f"no engine is running at {where}", "start it (sudo systemctl start docker)"
        )
    line = " ".join(str(error).split())
    return EngineUnreachable(f"no engine answers at {where}: {line}", "check DOCKER_HOST")


def _caused_by(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in _chain(error))


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
