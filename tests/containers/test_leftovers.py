"""Containers and volumes of killed clients are removed, those of others are left alone."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import psutil
import pytest
from docker.errors import APIError

from harness.containers import leftovers
from harness.containers.leftovers import client_labels, remove_leftovers, removed_afterwards
from harness.errors import WorkError
from tests.containers.untrusted import found, own_label, processes

# A client that has a job in the sandbox that sleeps; its arguments: run label, image, output.
CLIENT = """
import signal, sys
from pathlib import Path
from harness.containers import leftovers
from harness.containers.engine import connect
from harness.containers.sandbox import run_sandboxed
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)
leftovers.RUN, image, output, token = sys.argv[1:]
program = "import time; print('up', flush=True); time.sleep(3600)"
command = ["python3", "-c", program, token]
run_sandboxed(connect(), image, command, readable={}, output=Path(output))
"""


@pytest.fixture
def label(engine: docker.DockerClient) -> Iterator[str]:
    """A run label of this test alone; what has it in the end is removed."""
    with own_label() as label:
        yield label
        for one in engine.containers.list(all=True, filters={"label": label}):
            one.remove(force=True)
        for volume in engine.volumes.list(filters={"label": label}):
            volume.remove()


@pytest.fixture
def make(engine: docker.DockerClient, python_image: str) -> Callable[[dict[str, str]], str]:
    """Makes a container with these labels, sleeping, and a volume; its name."""

    def make(labels: dict[str, str]) -> str:
        volume = engine.volumes.create(labels=labels)
        one = engine.containers.run(
            python_image, ["sleep", "3600"], detach=True, network_mode="none", labels=labels,
            volumes={volume.name: {"bind": "/volume", "mode": "rw"}},
        )  # fmt: skip
        return str(one.name)

    return make


@pytest.fixture
def client(
    engine: docker.DockerClient, python_image: str, label: str, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A client whose job runs, and the token among the arguments of that job."""
    token = label.rpartition(".")[2]
    arguments = [label, python_image, str(tmp_path / "out"), token]
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, *arguments], stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            # Two: the client itself has the token too.
            wait_until(lambda: len(processes(token)) == 2 or process.poll() is not None)
            yield process, token
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def dead_pid() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)


def test_killed_client(
    engine: docker.DockerClient,
    client: tuple[subprocess.Popen[str], str],
    label: str,
    make: Callable[[dict[str, str]], str],
) -> None:
    process, token = client
    mine = make(client_labels("mine"))
    said: list[str] = []
    assert remove_leftovers(engine, said.append) == 0  # it is alive
    containers, volumes = found(engine, label)
    assert (len(containers), len(volumes)) == (3, 2)
    for name in containers - {f"/{mine}"}:
        host = engine.api.inspect_container(name)["HostConfig"]
        assert host["LogConfig"]["Type"] == "none"  # not seen from inside
        assert host["Memory"] == host["MemorySwap"] > 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(processes(token)) == 1  # nobody stops the job
    assert remove_leftovers(engine, said.append) == 2
    assert sorted(said) == [
        f"removed a container left by a client that was killed: sandbox ({name.lstrip('/')})"
        for name in sorted(containers - {f"/{mine}"})
    ]
    containers, volumes = found(engine, label)
    assert (containers, len(volumes)) == ({f"/{mine}"}, 1)
    assert processes(token) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_client(
    engine: docker.DockerClient,
    client: tuple[subprocess.Popen[str], str],
    label: str,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    process, token = client
    process.send_signal(number)
    assert process.stderr is not None
    assert process.stderr.read().rstrip().endswith("KeyboardInterrupt")
    process.wait()
    assert found(engine, label) == (set(), set())
    assert processes(token) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "removed"),
    [
        ({}, False),
        ({"pid": "dead"}, True),
        ({"started": "1.00"}, True),  # the number was given to another process
        ({"pid": "dead", "host": "elsewhere"}, False),
        ({"pid": "dead", "pid-namespace": "pid:[1]"}, False),
        ({"pid": "1"}, True),  # ours was not the first process
    ],
)
def test_dead_for_sure(
    engine: docker.DockerClient,
    label: str,
    make: Callable[[dict[str, str]], str],
    changed: dict[str, str],
    removed: bool,
) -> None:
    labels = client_labels("bench")
    assert labels["org.xstilts.client.host"] == socket.gethostname()
    for key, value in changed.items():
        assert f"org.xstilts.client.{key}" in labels
        labels[f"org.xstilts.client.{key}"] = dead_pid() if value == "dead" else value
    make(labels)
    said: list[str] = []
    assert remove_leftovers(engine, said.append) == len(said) == int(removed)
    left = (0, 0) if removed else (1, 1)
    assert tuple(len(kind) for kind in found(engine, label)) == left


def test_zombie_is_dead(
    engine: docker.DockerClient, label: str, make: Callable[[dict[str, str]], str]
) -> None:
    code = "import json, harness.containers.leftovers as l; print(json.dumps(l.client_labels('x')))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        labels = json.load(process.stdout)
        labels[label] = labels.pop("org.xstilts.run")
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        make(labels)
        assert remove_leftovers(engine, lambda _: None) == 1


def test_several_clients_at_once(
    engine: docker.DockerClient, label: str, make: Callable[[dict[str, str]], str]
) -> None:
    labels = client_labels("bench") | {"org.xstilts.client.pid": dead_pid()}
    names = {make(labels) for _ in range(3)}
    said: list[str] = []
    engines = [docker.from_env() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda one: remove_leftovers(one, said.append), engines))
    assert sum(counts) == len(said) == len(names)
    assert found(engine, label) == (set(), set())


def test_only_the_own_run_is_removed_afterwards(
    engine: docker.DockerClient, label: str, make: Callable[[dict[str, str]], str]
) -> None:
    other = make(client_labels("bench"))
    labels = client_labels("bench")
    with pytest.raises(KeyboardInterrupt), removed_afterwards(engine, labels):
        make(labels)
        raise KeyboardInterrupt
    assert found(engine, label)[0] == {f"/{other}"}
    assert len(found(engine, label)[1]) == 1


def test_work_that_ctrl_c_does_not_interrupt() -> None:
    code = """
import os, signal, time
from harness.containers.leftovers import uninterrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
def work():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
    print("whole", flush=True)
try:
    uninterrupted(work)
except KeyboardInterrupt:
    print("interrupted")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "whole\ninterrupted\n"


def test_first_error_stays_when_removal_fails_too(
    engine: docker.DockerClient, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = client_labels("bench")

    def refuse(**_: object) -> None:
        raise APIError("no")

    monkeypatch.setattr(engine.api, "containers", refuse)
    with pytest.raises(ValueError, match="first") as failed, removed_afterwards(engine, labels):
        raise ValueError("first")
    assert failed.value.__notes__ == [
        "removing containers: no; what is left is removed at the next start"
    ]
    alone = removed_afterwards(engine, labels)
    with pytest.raises(WorkError, match="removing containers: no"), alone:
        pass


def test_more_than_one_ctrl_c_does_not_leave_work_half_done() -> None:
    """What is being made then could not be found any more."""
    done: list[str] = []

    def work() -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)  # to the main thread, which waits
            time.sleep(0.1)
        done.append("to its end")

    with pytest.raises(KeyboardInterrupt):
        leftovers.uninterrupted(work)
    assert done == ["to its end"]
    assert leftovers.uninterrupted(lambda: 7) == 7
    with pytest.raises(ValueError, match="its own"):
        leftovers.uninterrupted(lambda: int("its own"))
