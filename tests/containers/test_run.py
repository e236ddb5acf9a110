"""A job in a real container: what it sees, its output and exit code, signals, dead clients."""

from __future__ import annotations

import io
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from harness.containers import leftovers
from harness.containers.run import Job, run_job
from harness.errors import WorkError

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, python_image: str) -> Iterator[str]:
    """An image that runs any command: benches have an entry point of their own."""
    dockerfile = f'FROM {python_image}\nENTRYPOINT []\nLABEL org.xstilts.test="run"\n'.encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile))
    context.seek(0)
    built, _ = engine.images.build(fileobj=context, custom_context=True, rm=True)
    yield str(built.id)
    engine.images.remove(built.id)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Nothing to do yet; it may write one folder and read another."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("as it was")
    return Job(
        arguments=[],
        folder=tmp_path,
        readable=[tmp_path / "data"],
        writable=[tmp_path / "out"],
        network=False,
        memory_bytes=256 * MIB,
    )


def python(job: Job, program: str) -> Job:
    return replace(job, arguments=["python3", "-c", textwrap.dedent(program)])


def own_containers(engine: docker.DockerClient) -> list[str]:
    found = engine.containers.list(all=True, filters={"label": "org.xstilts.purpose=bench"})
    return [one.name for one in found if one.labels["org.xstilts.client.pid"] == str(os.getpid())]


def test_output_exit_code_and_nothing_left(
    engine: docker.DockerClient, image: str, job: Job, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    program = python(
        job,
        """
        import sys
        sys.stdout.buffer.write("out ™\\n".encode() + bytes(range(256)))
        sys.stderr.write("err")
        sys.exit(7)
        """,
    )
    assert run_job(engine, image, program, print) == 7
    out, err = capfdbinary.readouterr()
    assert out == "out ™\n".encode() + bytes(range(256))
    assert err == b"err"
    assert own_containers(engine) == []


def test_what_it_may_do(engine: docker.DockerClient, image: str, job: Job) -> None:
    """Writes as the caller into the writable folder, and nowhere else; no network."""
    out = job.writable[0]
    program = python(
        job,
        f"""
        import os, pathlib, socket
        out = pathlib.Path({str(out)!r})
        assert os.getcwd() == {str(job.folder)!r}
        assert pathlib.Path("data/file").read_text() == "as it was"
        for place in ("data/file", "/etc/passwd", "/xstilts-new"):
            try:
                pathlib.Path(place).write_text("changed")
            except OSError:
                continue
            raise SystemExit(f"{{place}} can be written")
        pathlib.Path("/tmp/scratch").write_text("is allowed")
        try:
            socket.create_connection(("192.0.2.1", 80), timeout=5)
        except OSError as error:
            assert error.errno == 101, error  # ENETUNREACH: there is no way out at all
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        (out / "made").write_text("here")
        """,
    )
    assert run_job(engine, image, program, print) == 0
    assert (job.readable[0] / "file").read_text() == "as it was"
    made = out / "made"
    assert (made.read_text(), made.stat().st_uid) == ("here", os.getuid())
    assert sorted(path.name for path in job.folder.iterdir()) == ["data", "out"]


def test_limits_are_what_the_job_says_and_the_harness_sees_them(
    engine: docker.DockerClient, image: str, job: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the host's CPUs and memory the cgroup counts; memory beyond it ends in one line."""
    import psutil

    packages = Path(psutil.__file__).parent
    limited = replace(
        job,
        cpus=0.5,
        readable=[*job.readable, ROOT / "harness", packages],
        environment={"PYTHONPATH": f"{ROOT}:{packages.parent}", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    program = python(
        limited,
        """
        import importlib.util, sys
        from harness import machine
        print(machine.usable_cores(), machine.total_memory())
        """,
    )
    assert run_job(engine, image, program, print) == 0
    assert capfd.readouterr().out == f"1 {256 * MIB}\n"
    hungry = python(limited, "data = bytearray(1 << 30)")
    with pytest.raises(WorkError, match="reached its memory limit of 256 MiB; --memory raises it"):
        run_job(engine, image, hungry, print)


# Labels of this test run's own: nobody else's start removes what its killed clients left.
LABEL = f"org.xstilts.test.{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def own_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "RUN", LABEL)


CLIENT = f"""
import sys
from pathlib import Path
from harness.containers import leftovers
leftovers.RUN = {LABEL!r}
from harness.containers.engine import connect
from harness.containers import leftovers
from harness.containers.run import Job, run_job
from harness.errors import WorkError

image, folder, program = sys.argv[1:]
job = Job(["python3", "-u", "-c", program], Path(folder), [], [], False, 256 << 20)
sys.exit(run_job(connect(), image, job, lambda text: print(text, file=sys.stderr)))
"""


def client(image: str, folder: Path, program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, image, str(folder), textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_program_which_decides(
    engine: docker.DockerClient, image: str, tmp_path: Path, number: signal.Signals
) -> None:
    """It ends as it wants to, its last words are heard, its exit code is passed on."""
    program = """
    import signal, sys, time
    def end(number, frame):
        print("ends after", number)
        sys.exit(128 + number)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    print("ready")
    time.sleep(300)
    """
    with client(image, tmp_path, program) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        run.send_signal(number)
        out, _ = run.communicate(timeout=60)
    assert (out, run.returncode) == (f"ends after {int(number)}\n", 128 + number)
    assert of_client(engine, run.pid) == []


CHATTERS = """
import signal, sys
def end(number, frame):
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
while True:
    print("more" * 1000, flush=True)
"""


def test_output_that_cannot_be_written_ends_the_job(
    engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    """Its error is ours; a reader that has gone (`| head`) is none."""
    arguments = [sys.executable, "-c", CLIENT, image, str(tmp_path), CHATTERS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            arguments, stdout=full, stderr=subprocess.PIPE, text=True, env=environment,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Exception in thread" not in done.stderr
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as run:
        assert run.stdout is not None
        run.stdout.read(10)
        run.stdout.close()
        assert run.wait(timeout=60) == 3  # the program's own
        assert run.stderr is not None
        assert b"Traceback" not in run.stderr.read()


def test_a_folder_that_stays_empty_is_removed(
    engine: docker.DockerClient, image: str, job: Job
) -> None:
    assert run_job(engine, image, python(job, "exit(2)"), print) == 2
    assert not job.writable[0].exists()


def test_the_third_signal_kills(engine: docker.DockerClient, image: str, tmp_path: Path) -> None:
    program = """
    import signal, time
    signal.signal(signal.SIGINT, lambda *_: print("no"))
    print("ready")
    while True:
        time.sleep(1)
    """
    with client(image, tmp_path, program) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        for _ in range(2):
            run.send_signal(signal.SIGINT)
            assert run.stdout.readline() == "no\n"
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGKILL
    assert of_client(engine, run.pid) == []


def test_a_killed_client_ends_the_programs_input_and_is_cleaned_up_after(
    engine: docker.DockerClient, image: str, job: Job, tmp_path: Path
) -> None:
    """The program learns of it from its standard input; what is left goes at the next start."""
    program = """
    import os
    print("ready")
    assert os.read(0, 1) == b""
    """
    with client(image, tmp_path, program) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        left = of_client(engine, run.pid)
        assert len(left) == 1
        run.kill()
    deadline = time.monotonic() + 60
    while engine.containers.get(left[0]).status == "running":
        assert time.monotonic() < deadline, "the program was not told that its client died"
        time.sleep(0.2)
    assert engine.containers.get(left[0]).attrs["State"]["ExitCode"] == 0
    said: list[str] = []
    assert run_job(engine, image, python(job, "pass"), said.append) == 0
    assert of_client(engine, run.pid) == []
    assert any(left[0] in line for line in said)


def of_client(engine: docker.DockerClient, pid: int) -> list[str]:
    found = engine.containers.list(all=True, filters={"label": f"org.xstilts.client.pid={pid}"})
    return [str(one.name) for one in found]
