"""What a program in the sandbox gets, what is taken from it, and what ends it."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from threading import Thread

import docker
import pytest

from harness.containers.engine import connect
from harness.containers.profile import Limits
from harness.containers.sandbox import run_sandboxed
from harness.errors import InputError, WorkError
from tests.containers.untrusted import SMALL, found, own_label, processes, run_code

MIB = 1 << 20


def test_program_reads_what_it_is_given_and_its_output_is_taken(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    data = tmp_path / "private" / "data"
    data.mkdir(parents=True)
    (data / "in.txt").write_text("ein Wort\n", encoding="utf-8")
    data.parent.chmod(0o700)  # parents of what is mounted need not be readable
    code = """
        import os, sys
        os.makedirs("/output/a/b/empty")
        with open("/output/a/b/out.txt", "w") as file:
            file.write(open("/data/in.txt").read() * 2)
        os.chmod("/output/a/b/out.txt", 0o4777)
        open("/output/größe", "wb").write(b"x" * 300_000)
        print("said", os.environ["ASKED"], os.environ["HOME"], repr(sys.stdin.read()))
        print("complained", file=sys.stderr)
    """
    output = tmp_path / "out"
    output.mkdir()  # empty: allowed
    outcome = run_code(
        engine, python_image, output, code, readable={"/data": data}, environment={"ASKED": "yes"}
    )
    assert (outcome.status, outcome.exit_code) == ("done", 0)
    assert (outcome.stdout, outcome.stderr) == ("said yes /tmp ''\n", "complained\n")
    written = {str(path.relative_to(output)) for path in output.rglob("*")}
    assert written == {"a", "a/b", "a/b/empty", "a/b/out.txt", "größe"}
    taken = output / "a/b/out.txt"
    assert taken.read_text(encoding="utf-8") == "ein Wort\nein Wort\n"
    assert (output / "größe").read_bytes() == b"x" * 300_000
    assert taken.stat().st_uid == os.getuid()
    assert stat.S_IMODE(taken.stat().st_mode) & 0o7111 == 0  # no setuid, not executable


def test_identity_and_limits_are_those_of_the_profile(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"proxies": {"default": {"httpProxy": "http://me:secret@proxy:1"}}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("OF_THE_CLIENT", "secret")
    code = """
        import json, os, resource
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
        mounts = [line.split() for line in open("/proc/mounts")]
        print(json.dumps({
            "status": {key: value.split() for key, value in status.items()},
            "environment": dict(os.environ),
            "mounts": {mount[1]: mount[3].split(",") for mount in mounts},
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
            "oom": int(open("/proc/self/oom_score_adj").read()),
            "dns": open("/etc/resolv.conf").read().split(),
            "interfaces": sorted(os.listdir("/sys/class/net")),
            "devices": sorted(os.listdir("/dev")),
        }))
    """
    outcome = run_code(connect(), python_image, tmp_path / "out", code)
    seen = json.loads(outcome.stdout)
    assert seen["status"]["Uid"] == seen["status"]["Gid"] == ["65534"] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen["status"][kind][0], 16) == 0
    assert seen["status"]["NoNewPrivs"] == ["1"]
    assert seen["status"]["Seccomp"] == ["2"]  # a filter
    assert not {"http_proxy", "HTTP_PROXY", "OF_THE_CLIENT"} & set(seen["environment"])
    assert "ro" in seen["mounts"]["/"]
    for place, size in (("/tmp", 4), ("/dev/shm", 4), ("/output", 8)):
        assert {"rw", "noexec", "nosuid", "nodev", f"size={size * 1024}k"} <= set(
            seen["mounts"][place]
        )
    assert seen["core"] == [0, 0]
    assert seen["files"] == [64, 64]
    assert seen["oom"] == 1000
    assert seen["dns"] == ["nameserver", "127.0.0.1"]
    assert seen["interfaces"] == ["lo"]
    assert not {"kvm", "fuse", "mem", "vda", "sda"} & set(seen["devices"])


@pytest.mark.parametrize(
    ("code", "code_seen", "said"),
    [
        ("raise SystemExit('no \\x1b[31m\\n\\nmodel\\n')", 1, "exit code 1: 'model'"),
        ("raise SystemExit(3)", 3, "exit code 3"),
        ("raise SystemExit(137)", 137, "killed, perhaps because this machine is short of memory"),
        ("import ctypes; ctypes.string_at(0)", 139, "exit code 139"),
    ],
)
def test_failed_program(
    engine: docker.DockerClient,
    python_image: str,
    tmp_path: Path,
    code: str,
    code_seen: int,
    said: str,
) -> None:
    outcome = run_code(engine, python_image, tmp_path / "out", code)
    assert (outcome.status, outcome.exit_code, outcome.reason) == ("failed", code_seen, said)


@pytest.mark.parametrize(
    "code",
    [
        "while True: time.sleep(1)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)",
        "os.close(0); os.close(1); os.close(2); time.sleep(3600)",
        "while True: print('.', flush=True); time.sleep(0.01)",
    ],
    ids=["sleeps", "ignores SIGTERM", "closes its streams", "goes on talking"],
)
def test_time(engine: docker.DockerClient, python_image: str, tmp_path: Path, code: str) -> None:
    limits = replace(SMALL, seconds=1)
    code = f"import os, signal, time\n{code}"
    outcome = run_code(engine, python_image, tmp_path / "out", code, limits)
    assert (outcome.status, outcome.exit_code) == ("time", None)
    assert outcome.reason == "stopped: it took longer than 1 s"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_flood_of_text(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, stream: str
) -> None:
    code = f"""
        import sys
        sys.{stream}.write("begin")
        for _ in range(10_000):  # 10 GB, were it read
            sys.{stream}.write("x" * 1_000_000)
    """
    outcome = run_code(engine, python_image, tmp_path / "out", code)
    assert (outcome.status, outcome.exit_code) == ("output", None)
    assert "more than 65,536 bytes on standard" in outcome.reason
    kept = {"stdout": outcome.stdout, "stderr": outcome.stderr}
    assert kept.pop(stream) == "begin" + "x" * (65536 - 5)
    assert set(kept.values()) == {""}


def test_memory(engine: docker.DockerClient, python_image: str, tmp_path: Path) -> None:
    outcome = run_code(engine, python_image, tmp_path / "out", "x = bytearray(10 ** 9)")
    assert (outcome.status, outcome.exit_code) == ("memory", 137)
    assert outcome.reason == "it needed more than 134,217,728 bytes of memory"


@pytest.mark.parametrize(("code", "status"), [(0, "done"), (1, "memory")])
def test_memory_of_a_child(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, code: int, status: str
) -> None:
    program = f"""
        import os, signal
        child = os.fork()
        if not child:
            x = bytearray(10 ** 9)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        os._exit({code})
    """
    outcome = run_code(engine, python_image, tmp_path / "out", program)
    assert (outcome.status, outcome.exit_code) == (status, code)


@pytest.mark.parametrize("place", ["/output", "/tmp", "/dev/shm"])
def test_files_in_memory_count_as_memory(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, place: str
) -> None:
    limits = replace(SMALL, memory_bytes=64 * MIB, output_bytes=256 * MIB, scratch_bytes=256 * MIB)
    code = f"""
        with open("{place}/x", "wb") as file:
            for _ in range(200):
                file.write(bytes(1 << 20))
    """
    outcome = run_code(engine, python_image, tmp_path / "out", code, limits)
    assert outcome.status == "memory"


def test_what_runs_on_in_the_background_ends_with_the_program(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    code = """
        import os, time
        for n in range(3):
            if not os.fork():
                os.setsid()
                while True:
                    open(f"/output/{n}", "a").write("x")
        while len(os.listdir("/output")) < 3:
            time.sleep(0.01)
    """
    outcome = run_code(engine, python_image, tmp_path / "out", code)
    assert outcome.status == "done"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("os.symlink('/etc/passwd', 'link')", "'./link': a symbolic link"),
        ("os.symlink('nowhere', 'link')", "'./link': a symbolic link"),
        ("open('a', 'w'); os.link('a', 'b')", "': a hard link"),
        ("os.mkfifo('pipe')", "'./pipe': a named pipe"),
        ("socket.socket(socket.AF_UNIX).bind('s')", "./s: socket ignored"),
        ("open('two\\nlines', 'w')", "'./two\\nlines': a name that is not printable"),
        ("open(b'\\xff', 'w')", "'./\\udcff': a name that is not printable"),
        ("open('\\x1b[2J', 'w')", "'./\\x1b[2J': a name that is not printable"),
        ("os.makedirs('/'.join('d' * 30))", "more than 16 folders deep"),
        ("os.makedirs('/'.join(['d' * 250] * 3))", "a path of more than 512 bytes"),
        ("open('f', 'w'); os.chmod('f', 0)", "./f: Cannot open: Permission denied"),
        ("os.chmod('/output', 0)", "Permission denied"),
        ("open('hole', 'wb').truncate(10 ** 10)", "'./hole': beyond 8,388,608 bytes in all"),
        (
            "[open(n, 'wb').truncate(8 << 20) for n in 'ab']",
            ": beyond 8,388,608 bytes in all",
        ),
    ],
)
def test_output_that_is_refused_whole(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, left: str, said: str
) -> None:
    code = f"import os, socket\nos.chdir('/output')\nopen('good', 'w').write('x')\n{left}"
    outcome = run_code(engine, python_image, tmp_path / "out", code)
    assert (outcome.status, outcome.exit_code) == ("output", 0)
    assert outcome.reason.startswith("output refused: ")
    assert said in outcome.reason.replace("\\\\", "\\")


def test_image_that_is_not_there(engine: docker.DockerClient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"xstilts-none:1: .* build it: xstilts image build"):
        run_code(engine, "xstilts-none:1", tmp_path / "out", "")
    assert list(tmp_path.iterdir()) == []


def test_image_with_volumes_is_not_used(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    made = engine.containers.create(python_image, ["true"], network_mode="none")
    try:
        image = made.commit(changes="VOLUME /unlimited")
    finally:
        made.remove()
    try:
        with pytest.raises(InputError, match=r"declares volumes, .*/unlimited"):
            run_code(engine, str(image.id), tmp_path / "out", "")
    finally:
        engine.images.remove(image.id)


def test_engine_that_goes_away(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    with own_label() as label, forwarding(tmp_path / "engine.sock") as (client, go_away):
        token = label.rpartition(".")[2]
        command = ["python3", "-c", "import time; time.sleep(3600)", token]

        def watch() -> None:
            while not processes(token):
                time.sleep(0.05)
            go_away()

        try:
            with ThreadPoolExecutor(1) as pool, pytest.raises(WorkError) as failed:
                pool.submit(watch)
                run_sandboxed(client, python_image, command, readable={}, output=tmp_path / "out")
        finally:
            containers, volumes = found(engine, label)
            for name in containers:
                engine.api.remove_container(name, force=True)
            for name in volumes:
                engine.api.remove_volume(name)
        assert (len(containers), len(volumes)) == (2, 1)  # the client could not
    assert str(failed.value) == "sandbox: the Docker engine went away; start it again"
    assert "what is left is removed at the next start" in failed.value.__notes__[0]
    assert {path.name for path in tmp_path.iterdir()} == {"engine.sock"}


@contextmanager
def forwarding(place: Path) -> Iterator[tuple[docker.DockerClient, Callable[[], None]]]:
    """A client of the engine through a socket at `place`, and what cuts all its connections."""
    engine_place = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    ends: list[socket.socket] = []

    def forward(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(engine_place.removeprefix("unix://"))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    Thread(target=forward, args=pair, daemon=True).start()

    def go_away() -> None:
        for end in (server, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        Thread(target=accept, daemon=True).start()
        yield docker.DockerClient(base_url=f"unix://{place}"), go_away


@pytest.mark.parametrize("name", [limit.name for limit in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_no_limit_can_be_left_out(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"limit {name}: .*; more than 0"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"MemoryLimit": False}, "cannot limit memory;"),
        ({"PidsLimit": False, "CpuCfsQuota": False}, "cannot limit processes, CPUs;"),
        ({"SwapLimit": None}, "cannot limit swap;"),
        ({"SecurityOptions": None}, "no seccomp profile"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "no seccomp profile"),
    ],
)
def test_an_engine_that_would_drop_a_limit_is_refused(
    engine: docker.DockerClient,
    python_image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    info: dict[str, object],
    words: str,
) -> None:
    """It would only warn, and run the program without."""
    told = {**engine.info(), **info}
    monkeypatch.setattr(docker.DockerClient, "info", lambda self: told)
    with pytest.raises(WorkError, match=words):
        run_sandboxed(engine, python_image, ["true"], readable={}, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
