"""The base of an image, pulled by digest from a real registry on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
import requests
from docker.errors import ImageNotFound

from harness.containers import base as base_module
from harness.containers.base import resolve_base
from harness.containers.images import Base, PinnedBase
from harness.errors import InputError, WorkError
from tests.containers.engines import missing

_ZEROS = "sha256:" + "0" * 64
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DEBIAN = Base("debian", "made here", "xstilts-base:bookworm-x", "sha256:x")
_CONFIG = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
"""


@dataclass(frozen=True)
class Registry:
    """A registry on loopback, the folder of its blobs, and the repository that tests push to."""

    engine: docker.DockerClient
    port: int
    folder: Path

    @property
    def repository(self) -> str:
        return f"127.0.0.1:{self.port}/xstilts-test"

    def manifest(self, reference: str) -> str:
        return f"http://127.0.0.1:{self.port}/v2/xstilts-test/manifests/{reference}"

    def push(self, content: bytes) -> tuple[str, str]:
        """Push an image of one file under the tag `one`; its digest and its layer's (of the tar).

        Both are computed here, from what the registry gives and from the tar. No engine has had
        the layer before: one that it has is not asked for.
        """
        tar = io.BytesIO()
        content += os.urandom(16)
        with tarfile.open(fileobj=tar, mode="w") as archive:
            info = tarfile.TarInfo("file")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        self.engine.api.import_image_from_data(tar.getvalue(), self.repository, "one")
        for line in self.engine.api.push(self.repository, "one", stream=True, decode=True):
            assert "error" not in line
        found = requests.get(self.manifest("one"), headers={"Accept": _MANIFEST}, timeout=10)
        digest = "sha256:" + hashlib.sha256(found.content).hexdigest()
        self.engine.images.remove(f"{self.repository}:one")
        assert not self.has(digest)
        return digest, "sha256:" + hashlib.sha256(tar.getvalue()).hexdigest()

    def pinned(self, digest: str) -> PinnedBase:
        return PinnedBase(f"{self.repository}:one", digest, checked="")

    def layers(self, digest: str) -> list[str]:
        image = self.engine.images.get(f"{self.repository}@{digest}")
        return list(image.attrs["RootFS"]["Layers"])

    def has(self, digest: str) -> bool:
        try:
            self.engine.images.get(f"{self.repository}@{digest}")
        except ImageNotFound:
            return False
        return True

    def blob(self, digest: str) -> Path:
        (path,) = self.folder.rglob(f"blobs/sha256/*/{digest.removeprefix('sha256:')}/data")
        return path


@pytest.fixture
def registry(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Registry]:
    program = shutil.which("docker-registry")
    if program is None:
        missing("no docker-registry (apt-get install docker-registry)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config, log = tmp_path / "registry.yml", tmp_path / "registry.log"
    config.write_text(_CONFIG.format(folder=tmp_path / "registry", port=port))
    here = Registry(engine, port, tmp_path / "registry")
    with log.open("w") as out, subprocess.Popen([program, "serve", config], stderr=out) as process:
        try:
            _wait_for(port, process, log)
            yield here
        finally:
            process.kill()
            for image in engine.images.list(name=here.repository):
                for name in image.attrs["RepoTags"] + image.attrs["RepoDigests"]:
                    engine.images.remove(name)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"docker-registry does not answer: {log.read_text()[-500:]}")


def test_the_pinned_base_is_pulled_by_digest_once(registry: Registry) -> None:
    digest, layer = registry.push(b"original")
    said: list[str] = []
    base = resolve_base(registry.engine, registry.pinned(digest), "pinned", said.append)
    assert base == Base(
        "pinned", f"{registry.repository}:one", f"{registry.repository}@{digest}", digest
    )
    assert registry.layers(digest) == [layer]
    assert said == [f"pulling {registry.repository}:one ({digest})"]
    requests.delete(registry.manifest(digest), timeout=10).raise_for_status()
    again = resolve_base(registry.engine, registry.pinned(digest), "auto", said.append)
    assert again == base
    assert len(said) == 1


def test_another_image_under_the_same_tag_is_never_taken(registry: Registry) -> None:
    gone, _ = registry.push(b"first")
    digest, layer = registry.push(b"original")
    other, _ = registry.push(b"tampered")
    assert len({gone, digest, other}) == 3
    resolve_base(registry.engine, registry.pinned(digest), "pinned", lambda line: None)
    assert registry.layers(digest) == [layer]
    # One that was never pulled: engines keep the manifests of those that were.
    requests.delete(registry.manifest(gone), timeout=10).raise_for_status()
    _refused(registry, gone, "the registry does not know it")
    assert not registry.has(other)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_a_registry_that_gives_other_bytes_for_the_digest_is_refused(
    registry: Registry, part: str
) -> None:
    digest, _ = registry.push(b"original")
    found = requests.get(registry.manifest(digest), headers={"Accept": _MANIFEST}, timeout=10)
    manifest = found.json()
    digests = {
        "manifest": digest,
        "config": manifest["config"]["digest"],
        "layer": manifest["layers"][0]["digest"],
    }
    blob = registry.blob(digests[part])
    content = bytearray(blob.read_bytes())
    # Still JSON where it is JSON: what is wrong is the digest alone.
    position = content.find(b" ") if part == "manifest" else content.find(b"Imported")
    content[position] ^= ord(" ") ^ ord("\t") if part == "manifest" else 1
    blob.write_bytes(content)
    _refused(registry, digest, "the registry sent other bytes than the digest names")
    with pytest.raises(WorkError, match="sent other bytes"):  # no reason to take another base
        resolve_base(registry.engine, registry.pinned(digest), "auto", lambda line: None)


def test_an_unknown_digest_is_refused(registry: Registry) -> None:
    _refused(registry, _ZEROS, "the registry does not know it")


def _refused(registry: Registry, digest: str, why: str) -> None:
    """Both as the pinned base and as one that the user gives, in one line."""
    pinned = registry.pinned(digest)
    for choice in ("pinned", pinned.reference):
        with pytest.raises(WorkError) as caught:
            resolve_base(registry.engine, pinned, choice, lambda line: None)
        line = str(caught.value)
        assert line.startswith(f"base {registry.repository}@{digest}: {why}")
        assert "\n" not in line
        assert ("--base debian" in line) == (choice == "pinned")
    assert not registry.has(digest)


@pytest.mark.parametrize("tag", ["", ":one"])
def test_a_base_of_the_users_own_is_given_by_digest(registry: Registry, tag: str) -> None:
    digest, layer = registry.push(b"their own")
    choice = f"{registry.repository}{tag}@{digest}"
    unused = PinnedBase("python:3.11-slim-bookworm", _ZEROS, checked="")
    base = resolve_base(registry.engine, unused, choice, lambda line: None)
    name = f"{registry.repository}{tag}"
    assert base == Base("given", name, f"{registry.repository}@{digest}", digest)
    assert registry.layers(digest) == [layer]


@pytest.mark.parametrize(
    "choice",
    ["python:3.11", "python@sha256:12", f"@{_ZEROS}", f"Py thon@{_ZEROS}", "Auto", "", _ZEROS],
)
def test_what_is_no_choice_and_no_digest_is_refused(choice: str) -> None:
    with pytest.raises(InputError, match="NAME@sha256:") as caught:
        resolve_base(docker.DockerClient.__new__(docker.DockerClient), _pinned(), choice, print)
    assert str(caught.value).startswith(f"--base {choice}: ")


def _pinned(port: int = 1) -> PinnedBase:
    """One at a registry where nobody listens."""
    return PinnedBase(f"127.0.0.1:{port}/nothing:one", _ZEROS, checked="")


def test_a_registry_that_does_not_answer_is_said(engine: docker.DockerClient) -> None:
    with pytest.raises(WorkError, match=r"the registry cannot be reached \(.*refused"):
        resolve_base(engine, _pinned(), "pinned", lambda line: None)


def test_auto_says_why_it_takes_debians_packages(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "debian_base", lambda engine, say: _DEBIAN)
    said: list[str] = []
    assert resolve_base(engine, _pinned(), "auto", said.append) == _DEBIAN
    assert len(said) == 2
    assert "the registry cannot be reached" in said[1]
    assert said[1].endswith("; a base from Debian's packages is used instead")
    said.clear()
    assert resolve_base(engine, _pinned(), "debian", said.append) == _DEBIAN
    assert said == []


def test_an_engine_that_holds_another_digest_after_the_pull_is_refused() -> None:
    image = SimpleNamespace(attrs={"RepoDigests": [f"127.0.0.1:1/nothing@sha256:{'1' * 64}"]})
    engine = SimpleNamespace(
        images=SimpleNamespace(get=lambda name: image),
        api=SimpleNamespace(pull=lambda *args, **options: iter([{"status": "done"}])),
    )
    with pytest.raises(WorkError, match="the engine pulled another digest"):
        resolve_base(engine, _pinned(), "pinned", lambda line: None)  # type: ignore[arg-type]


def test_an_engine_that_dies_while_it_pulls_is_said(tmp_path: Path) -> None:
    """The stand-in knows no image, begins to answer the pull, and hangs up."""
    unknown = b'{"message": "No such image"}'
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
    progress = b'{"status": "Pulling"}\n'

    def answer(connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65536):
                if request.startswith(b"POST"):
                    connection.sendall(
                        head % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n"
                        b"%x\r\n%s\r\n" % (len(progress), progress)
                    )
                    return
                length = b"Content-Length: %d\r\n\r\n" % len(unknown)
                connection.sendall(head % b"404 Not Found" + length + unknown)

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine"))
        listener.listen()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        engine = docker.DockerClient(f"unix://{tmp_path}/engine", version="1.41", timeout=20)
        with pytest.raises(WorkError, match="the Docker engine went away"):
            resolve_base(engine, _pinned(), "pinned", lambda line: None)
        engine.close()
