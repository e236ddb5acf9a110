"""Images in the engine, by a small Dockerfile: built once, found again, refused where wrong."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from harness.containers import build, inputs
from harness.containers.build import built_image, describe, ensure_image, named_image
from harness.containers.images import Base, ImageSpec, PinnedBase
from harness.containers.inputs import Inputs
from harness.errors import InputError, WorkError

DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY app /app
COPY image.json requirements.lock /xstilts/
LABEL org.xstilts.variant=cpu
"""
NO_PACKAGES = "# no packages\n"


@pytest.fixture
def base(
    engine: docker.DockerClient, python_image: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Base]:
    """An image that is here, under a name that both builders take."""
    name = f"xstilts-test-base:{secrets.token_hex(4)}"
    engine.images.get(python_image).tag(name)
    chosen = Base("given", "a base for tests", name, python_image)
    monkeypatch.setattr(build, "resolve_base", lambda *_: chosen)
    yield chosen
    engine.images.remove(name)


@pytest.fixture
def make(
    engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Inputs]]:
    """Inputs with a Dockerfile of the test's own; images of these names are removed afterwards."""
    repository = f"xstilts-test-{secrets.token_hex(4)}"
    for module in (build, inputs):
        monkeypatch.setattr(module, "REPOSITORY", repository)
    (tmp_path / "lock").write_text(NO_PACKAGES)
    (tmp_path / "source.py").write_text("source")

    def inputs_with(dockerfile: str) -> Inputs:
        (tmp_path / "Dockerfile").write_text(dockerfile)
        pinned = PinnedBase("none:1", "sha256:" + "0" * 64, "")
        spec = ImageSpec("cpu", tmp_path / "Dockerfile", tmp_path / "lock", pinned, None)
        sources = {"source.py": (tmp_path / "source.py").read_bytes()}
        return Inputs(tmp_path, spec, dockerfile.encode(), NO_PACKAGES.encode(), sources, None)

    yield inputs_with
    for image in engine.images.list(name=repository):
        for tag in image.tags:  # by name: the base may have one of them too
            if tag.startswith(repository):
                engine.images.remove(tag)


def test_built_once_then_found(
    engine: docker.DockerClient, make: Callable[[str], Inputs], base: Base, tmp_path: Path
) -> None:
    said: list[str] = []
    given = make(DOCKERFILE)
    assert built_image(engine, given, "auto") is None
    image = ensure_image(engine, given, "auto", tmp_path, said.append)
    assert len(said) == 1
    assert ensure_image(engine, given, "auto", tmp_path, said.append) == image
    assert len(said) == 1, "built again"
    facts = describe(engine, image)
    assert facts["digest"] == image == named_image(engine, facts["name"])
    assert facts["base"] == {"kind": "given", "name": base.name, "digest": base.digest}
    command = ["cat", "/app/source.py", "/xstilts/requirements.lock", "/xstilts/image.json"]
    held = engine.containers.run(image, entrypoint=command, remove=True, network_mode="none")
    head, _, told = held.decode().partition(NO_PACKAGES)
    assert head == "source"
    assert json.loads(told)["base"]["digest"] == base.digest
    assert "Successfully built" in (tmp_path / "build-cpu.log").read_text()


def test_another_base_or_other_files_need_another_build(
    engine: docker.DockerClient, make: Callable[[str], Inputs], base: Base, tmp_path: Path
) -> None:
    given = make(DOCKERFILE)
    image = ensure_image(engine, given, "auto", tmp_path, print)
    for choice in ("given", f"x@{base.digest}"):
        assert built_image(engine, given, choice) == image
    for choice in ("pinned", "debian", "x@sha256:" + "2" * 64):
        assert built_image(engine, given, choice) is None
    (tmp_path / "source.py").write_text("changed")
    assert built_image(engine, given, "auto") == image, "what was read counts"
    assert built_image(engine, make(DOCKERFILE), "auto") is None


def test_an_image_of_that_name_with_other_content_is_not_used(
    engine: docker.DockerClient, make: Callable[[str], Inputs], base: Base, tmp_path: Path
) -> None:
    given = make(DOCKERFILE)
    image = ensure_image(engine, given, "auto", tmp_path, print)
    name = next(tag for tag in engine.images.get(image).tags if not tag.endswith(":cpu"))
    engine.images.get(base.reference).tag(name)
    assert built_image(engine, given, "auto") is None
    assert ensure_image(engine, given, "auto", tmp_path, print) == image


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("RUN echo a last word >&2; exit 3", r"returned a non-zero code: 3"),
        ("RUN nonsense", r"non-zero code: 127"),
        ("COPY nothing /", r"nothing"),
        ("NONSENSE no-such-command", r"(?i)unknown instruction: nonsense"),
        # There is no network in a build: its own loopback is all it has.
        ("RUN python3 -c 'import socket; exit(len(socket.if_nameindex()) + 40)'", r"code: 41"),
    ],
)  # fmt: skip
def test_a_build_that_fails_is_one_line(
    engine: docker.DockerClient,
    make: Callable[[str], Inputs],
    base: Base,
    tmp_path: Path,
    line: str,
    words: str,
) -> None:
    given = make(f"{DOCKERFILE}{line}\n")
    with pytest.raises(WorkError, match=words) as failed:
        ensure_image(engine, given, "auto", tmp_path, print)
    message = str(failed.value)
    assert message.startswith("docker build: ")
    assert "\n" not in message
    left = [one["Command"] for one in engine.api.containers(all=True)]
    assert not [command for command in left if line.partition(" ")[2] in command]


def test_a_named_image_must_be_there_and_ours(engine: docker.DockerClient) -> None:
    with pytest.raises(InputError, match=r"'nothing:1': the engine does not have it; docker pull"):
        named_image(engine, "nothing:1")
    name = f"xstilts-test-{secrets.token_hex(4)}"
    engine.api.import_image_from_data(bytes(10240), name, "1")  # an empty tar
    try:
        with pytest.raises(InputError, match=r"is none of xstilts \(it has no label"):
            named_image(engine, f"{name}:1")
    finally:
        engine.images.remove(f"{name}:1")
