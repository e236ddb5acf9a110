"""What goes into an image: which files, their key, the context's bytes, the labels."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness.containers.images import Base, ImageSpec, PinnedBase
from harness.containers.inputs import (
    Inputs,
    _source_files,
    image_inputs,
    image_labels,
    write_context,
)
from harness.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
BASE = Base("debian", "Debian bookworm", "xstilts-base:x", "sha256:" + "b" * 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with little in it, and what must not travel."""
    for name in ("harness/a.py", "adapters_cfg/recipes/x.yaml", "schemas/s.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "harness" / "__pycache__").mkdir()
    (tmp_path / "harness" / "__pycache__" / "a.cpython-311.pyc").write_text("made here")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "big").write_text("results stay")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "x.Dockerfile").write_text("FROM scratch")
    (tmp_path / "docker" / "x.lock").write_text("")
    return tmp_path


def inputs_of(root: Path, git: dict[str, object] | None = None) -> Inputs:
    spec = ImageSpec(
        "cpu",
        root / "docker" / "x.Dockerfile",
        root / "docker" / "x.lock",
        PinnedBase("python:3", "sha256:" + "a" * 64, "not"),
        None,
    )
    dockerfile, lock = spec.dockerfile.read_bytes(), spec.lock.read_bytes()
    return Inputs(root, spec, dockerfile, lock, _source_files(root), git)


def context_of(inputs: Inputs, wheels: list[Path]) -> bytes:
    out = io.BytesIO()
    write_context(inputs, BASE, wheels, out)
    return out.getvalue()


def test_the_context_is_the_sources_the_lock_and_the_wheels(root: Path, tmp_path: Path) -> None:
    wheel = root / "w-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    with tarfile.open(fileobj=io.BytesIO(context_of(inputs_of(root), [wheel]))) as tar:
        names = tar.getnames()
        told = json.load(tar.extractfile("image.json") or io.BytesIO())
    assert sorted(names) == [
        "Dockerfile",
        "app/adapters_cfg/recipes/x.yaml",
        "app/harness/a.py",
        "app/pyproject.toml",
        "app/schemas/s.json",
        "image.json",
        "requirements.lock",
        "wheels/w-1-py3-none-any.whl",
    ]
    assert told == {
        "variant": "cpu",
        "base": {"kind": "debian", "name": "Debian bookworm", "digest": BASE.digest},
        "lock": "sha256:" + hashlib.sha256(b"").hexdigest(),  # the lock of this fixture is empty
        "git": None,
    }


def test_equal_inputs_give_equal_bytes(root: Path) -> None:
    before = context_of(inputs_of(root), [])
    os.utime(root / "harness" / "a.py", (1, 1))
    (root / "harness" / "a.py").chmod(0o600)
    (root / "harness" / "__pycache__" / "b.pyc").write_text("later")
    assert context_of(inputs_of(root), []) == before


@pytest.mark.parametrize(
    "changed", ["harness/a.py", "harness/new.py", "docker/x.Dockerfile", "pyproject.toml"]
)
def test_the_key_follows_the_files(root: Path, changed: str) -> None:
    before = inputs_of(root).key
    assert inputs_of(root).key == before
    (root / changed).write_text("changed")
    assert inputs_of(root).key != before


def test_the_key_follows_the_commit(root: Path) -> None:
    keys = {
        inputs_of(root, {"commit": commit, "dirty": dirty}).key
        for commit in ("d" * 40, "e" * 40)
        for dirty in (False, True)
    }
    assert len(keys) == 4


def test_labels_name_the_commit_its_time_and_the_base(root: Path) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e", *arguments],
            capture_output=True, text=True, check=True,
            env={**os.environ, "GIT_COMMITTER_DATE": "2026-01-02T03:04:05+06:00"},
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")
    labels = image_labels(inputs_of(root, {"commit": commit, "dirty": True}), BASE)
    assert labels["org.opencontainers.image.revision"] == f"{commit}-dirty"
    assert labels["org.opencontainers.image.created"] == "2026-01-02T03:04:05+06:00"
    assert labels["org.opencontainers.image.base.digest"] == BASE.digest
    without = image_labels(inputs_of(root), BASE)
    assert not {name for name in without if name.endswith(("revision", "created"))}


def test_this_checkout() -> None:
    """The shipped locks are up to date; a variant that is not there is named."""
    inputs = image_inputs(ROOT, "cpu")
    assert "harness/data/world/nano/model.safetensors" in inputs.sources
    assert not [name for name in inputs.sources if name.startswith(("tests", "results", "docs"))]
    with pytest.raises(InputError, match=r"image 'rocm' is unknown; .* has cpu, cuda"):
        image_inputs(ROOT, "rocm")


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_a_dockerfile_without_arguments_is_on_the_pinned_base(variant: str) -> None:
    spec = image_inputs(ROOT, variant).spec
    default = f"ARG BASE_IMAGE={spec.base.name}@{spec.base.digest}"
    assert default in spec.dockerfile.read_text().splitlines()
