"""`xstilts bench --docker` as a user runs it, in the image of this checkout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.containers.build import built_image
from harness.containers.images import checkout
from harness.containers.inputs import image_inputs
from harness.containers.sandbox import run_sandboxed
from tests.containers.engines import missing

pytestmark = pytest.mark.slow  # a minute each: a bench in a container, several times

TINY = ["--seeds", "1", "--only", "target=world-ret", "--only", "recipe=direct"]
TRAINS = ["--seeds", "1", "--only", "target=world-sup", "--only", "recipe=direct,full-ft"]
HURRY = ["--checkpoint-seconds", "0", "--checkpoint-steps", "5"]


@pytest.fixture(scope="module", autouse=True)
def image(engine: docker.DockerClient) -> str:
    """Building it takes minutes: that is for the user (or .ci/run) to start."""
    found = built_image(engine, image_inputs(checkout(), "cpu"), "auto")
    if found is None:
        missing("the image of this checkout is not built: xstilts image build")
    return found


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "bench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=checkout(),
    )


def run(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def records(out: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_bytes()) for path in (out / "records").glob("*.json")}


def containers(engine: docker.DockerClient, pid: int) -> list[Any]:
    label = f"org.xstilts.client.pid={pid}"
    return list(engine.containers.list(all=True, filters={"label": label}))


def wait_for_checkpoint(out: Path) -> None:
    deadline = time.monotonic() + 120
    while not list((out / "store").rglob("*.safetensors")):
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.1)


def test_records_are_those_of_this_machine_and_say_which_image_ran(
    engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    code, _, _ = run("--docker", *TINY, "--out", str(tmp_path / "a"))
    assert code == 0
    code, _, _ = run("--no-docker", *TINY, "--out", str(tmp_path / "b"))
    assert code == 0
    inside, here = records(tmp_path / "a"), records(tmp_path / "b")
    assert inside.keys() == here.keys() != set()
    for name, record in inside.items():
        for volatile in ("costs", "environment"):
            block, other = record.pop(volatile), here[name].pop(volatile)
        assert record == here[name]
        assert other["image"] is None
        assert block["image"]["digest"] == image
        assert block["git"] == other["git"]
        labels = engine.images.get(image).labels
        base = block["image"]["base"]
        assert base["digest"] == labels["org.opencontainers.image.base.digest"]
    owner = next((tmp_path / "a" / "records").iterdir()).stat().st_uid
    assert owner == os.getuid()


def test_ctrl_c_stops_with_a_checkpoint_and_the_same_command_goes_on(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start("--docker", *TRAINS, *HURRY, "--out", str(out)) as process:
        wait_for_checkpoint(out)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "xstilts: stopped; what is finished is kept" in err
    assert containers(engine, process.pid) == []
    code, _, err = run("--docker", *TRAINS, "--out", str(out))
    assert code == 0
    assert len(records(out)) == 2
    once = tmp_path / "once"
    assert run("--no-docker", *TRAINS, "--out", str(once))[0] == 0
    # A training that was stopped and went on in another container ends with the same numbers.
    for name, record in records(once).items():
        assert records(out)[name]["scores"] == record["scores"]
        assert (
            records(out)[name]["files"]["predictions"]["sha256"]
            == (record["files"]["predictions"]["sha256"])
        )


def test_a_killed_client_stops_the_bench_and_the_next_start_cleans_up(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start("--docker", *TRAINS, *HURRY, "--out", str(out)) as process:
        wait_for_checkpoint(out)
        process.kill()
    (left,) = containers(engine, process.pid)
    deadline = time.monotonic() + 60
    while left.status == "running":
        assert time.monotonic() < deadline, "the bench runs on without its client"
        time.sleep(0.2)
        left.reload()
    assert left.attrs["State"]["ExitCode"] == 143
    code, _, err = run("--docker", *TINY, "--out", str(tmp_path / "next"))
    assert code == 0
    assert f"removed a container left by a client that was killed: bench ({left.name})" in err
    assert containers(engine, process.pid) == []


def test_errors_inside_are_errors_outside(tmp_path: Path) -> None:
    code, out, err = run("--docker", "files", "--data", str(tmp_path), "--out", str(tmp_path / "o"))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("xstilts: error: ")


def test_a_model_is_scored_in_the_sandbox_as_on_this_machine(
    engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    """What a leaderboard does with a stranger's model, within the default limits."""

    def xstilts(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            check=True, capture_output=True, cwd=checkout(),
        )  # fmt: skip

    model = tmp_path / "model"
    xstilts("train", "nli.A0", "--store", str(tmp_path / "store"), "--out", str(model))
    scores = ["--target", "world-ret", "--target", "world-nli"]
    xstilts("evaluate", str(model), *scores, "--out", str(tmp_path / "here.json"))
    outcome = run_sandboxed(
        engine,
        image,
        ["xstilts", "evaluate", "/model", *scores, "--out", "/output/scores.json"],
        readable={"/model": model},
        output=tmp_path / "output",
    )
    assert (outcome.status, outcome.reason) == ("done", "exit code 0")
    here = json.loads((tmp_path / "here.json").read_bytes())
    inside = json.loads((tmp_path / "output" / "scores.json").read_bytes())
    assert (inside["model"].pop("folder"), here["model"].pop("folder")) == ("/model", str(model))
    assert inside == here
