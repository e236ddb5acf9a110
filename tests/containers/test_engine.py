"""One line for each way in which the engine does not answer, with what to do about it."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from harness.containers.engine import EngineUnreachable, connect, engine_errors, find_image
from harness.errors import WorkError


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    return path


def refusal() -> EngineUnreachable:
    with pytest.raises(EngineUnreachable) as refused:
        connect()
    message = str(refused.value)
    assert "\n" not in message
    assert message.endswith("or run on this machine: xstilts bench --no-docker")
    return refused.value


def test_no_socket(address: Path) -> None:
    assert refusal().problem == f"no engine is running at unix://{address} (DOCKER_HOST)"


def test_a_socket_that_nobody_serves(address: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(address))
    assert "start it" in refusal().remedy


def test_no_permission_on_the_socket(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may use any socket: the kernel's answer to others is made up here."""

    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    unreachable = refusal()
    assert unreachable.problem.startswith("no permission on the engine's socket unix://")
    assert "usermod -aG docker" in unreachable.remedy


@pytest.fixture
def hangs_up(address: Path) -> Iterator[None]:
    """An engine that takes a connection and closes it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("hangs_up")
def test_something_else_at_the_socket() -> None:
    assert refusal().problem.startswith("no engine answers at unix://")


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:9", "https://192.0.2.1:2376"])
def test_an_engine_elsewhere(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not mount this machine's folders; nothing is sent there."""
    monkeypatch.setenv("DOCKER_HOST", host)
    assert host in refusal().problem


@pytest.mark.parametrize("host", ["nonsense://x", "unix:/"])
def test_a_wrong_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert refusal().problem


@pytest.mark.parametrize("variable", [True, False])
def test_the_context_of_the_docker_command_counts(
    variable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines without root and Docker Desktop set one; DOCKER_HOST comes before it."""
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    folder.mkdir(parents=True)
    endpoint = {"Host": f"unix://{tmp_path}/mine.sock", "SkipTLSVerify": False}
    meta = {"Name": "mine", "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (folder / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "mine"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if variable:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    named = "other.sock (DOCKER_HOST)" if variable else "mine.sock (docker context mine)"
    assert refusal().problem == f"no engine is running at unix://{tmp_path}/{named}"


def test_an_engine_for_another_architecture(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = {**engine.version(), "Arch": "arm64"}
    monkeypatch.setattr(docker.DockerClient, "version", lambda self: version)
    assert refusal().problem == "the engine is for arm64, the images are for amd64"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DockerException("write /x: no space left on device"), "the engine's disk is full"),
        (APIError("conflict", explanation="in\nuse"), "doing it: in use"),
        (requests.ConnectionError(ConnectionRefusedError()), "the Docker engine went away"),
        (requests.ReadTimeout("read timed out"), "doing it: read timed out"),
    ],
)  # fmt: skip
def test_what_the_engine_refuses_is_one_line(error: Exception, words: str) -> None:
    with pytest.raises(WorkError) as failed, engine_errors("doing it"):
        raise error
    assert words in str(failed.value)
    assert "\n" not in str(failed.value)


def test_an_image_is_there_or_not(engine: docker.DockerClient, python_image: str) -> None:
    found = find_image(engine, python_image)
    assert found is not None
    assert found.id == python_image
    assert find_image(engine, "no-such-image:1") is None
    with pytest.raises(ImageNotFound):  # what find_image turns into None
        engine.images.get("no-such-image:1")
