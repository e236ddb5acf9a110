"""Hostile programs in the sandbox: each is stopped, and what it was after is as it was."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import docker
import psutil
import pytest

from tests.containers.untrusted import SMALL, run_code

MIB = 1 << 20

# Collects what an attempt ended with: the error's name, or what it got.
TRY = """
import errno, json, os
seen = {}
def attempt(name, do):
    try:
        seen[name] = "got " + repr(do())
    except OSError as error:
        seen[name] = errno.errorcode.get(error.errno, type(error).__name__)
def done():
    print(json.dumps(seen))
"""


def attempts(
    engine: docker.DockerClient, image: str, output: Path, code: str, **options: object
) -> dict[str, str]:
    """What each attempt of the program ended with; the program itself lives on to tell it."""
    outcome = run_code(engine, image, output, f"{TRY}\n{code}\ndone()", **options)
    assert outcome.status == "done", outcome
    seen = json.loads(outcome.stdout)
    assert seen
    return {str(name): str(ended) for name, ended in seen.items()}


def test_network(engine: docker.DockerClient, python_image: str, tmp_path: Path) -> None:
    own = [
        address.address
        for addresses in psutil.net_if_addrs().values()  # the engine's bridge is among them
        for address in addresses
        if address.family == socket.AF_INET
    ]
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        for address in own:  # there is something to reach
            socket.create_connection((address, port), timeout=5).close()
            server.accept()[0].close()
        code = f"""
import socket
for place in (*{own!r}, "1.1.1.1"):
    attempt(place, lambda: socket.create_connection((place, {port}), timeout=2))
attempt("udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("1.1.1.1", 53)))
attempt("ipv6", lambda: socket.create_connection(("2606:4700:4700::1111", 53), timeout=2))
attempt("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("name", lambda: socket.getaddrinfo("example.org", 80))
attempt("machine", lambda: socket.getaddrinfo("host.docker.internal", 80))
"""
        seen = attempts(engine, python_image, tmp_path / "out", code)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody came
            server.accept()
    assert seen.pop("127.0.0.1") == "ECONNREFUSED"  # its own loopback, on which nobody listens
    assert seen.pop("raw") == "EPERM"
    assert seen.pop("name") == seen.pop("machine") == "gaierror"
    assert set(seen) == {*own, "1.1.1.1", "udp", "ipv6"} - {"127.0.0.1"}
    assert set(seen.values()) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"}


def test_only_three_folders_can_be_written(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "weights").write_text("weights", encoding="utf-8")
    for path, mode in ((bundle, 0o777), (bundle / "weights", 0o666)):
        path.chmod(mode)  # only the mount keeps anybody from writing here
    code = """
for place in ("/x", "/etc/x", "/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/usr/x", "/root/x",
              "/bundle/x", "/bundle/weights", "/var/tmp/x", "/run/x", "/dev/x", "/sys/x",
              "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/fs/cgroup/x"):
    attempt(place, lambda: open(place, "a").write("x"))
attempt("remove", lambda: os.unlink("/bundle/weights"))
attempt("chmod", lambda: os.chmod("/bundle/weights", 0o777))
attempt("inside", lambda: open("/output/x", "a").write("x"))
found = [place for place, folders, files in os.walk("/") if not place.startswith("/proc")
         and os.access(place, os.W_OK | os.X_OK)]
attempt("folders", lambda: sorted(found))
"""
    seen = attempts(engine, python_image, tmp_path / "out", code, readable={"/bundle": bundle})
    assert seen.pop("inside") == "got 1"
    # Message queues are in memory, few and small (the kernel's limit of each user).
    assert seen.pop("folders") in (
        f"got {['/dev/mqueue', '/dev/shm', '/output', '/tmp']}",
        f"got {['/dev/shm', '/output', '/tmp']}",
    )
    assert set(seen.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}
    assert [path.name for path in bundle.iterdir()] == ["weights"]
    assert (bundle / "weights").read_text(encoding="utf-8") == "weights"


def test_only_what_is_mounted_can_be_read(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of this machine", encoding="utf-8")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "link").symlink_to(secret)
    (bundle / "up").symlink_to("../secret")
    code = f"""
secret = {str(secret)!r}
for place in (secret, "/host" + secret, "/proc/1/root" + secret, "/proc/1/cwd" + secret,
              "/bundle/../secret", "/bundle/link", "/bundle/up", "/etc/shadow",
              "/root/.bashrc", "/dev/mem", "/var/lib/docker"):
    attempt(place, lambda: open(place).read())
attempt("others", lambda: [pid for pid in os.listdir("/proc") if pid.isdigit()])
"""
    seen = attempts(engine, python_image, tmp_path / "out", code, readable={"/bundle": bundle})
    assert seen.pop("others") == "got ['1']"
    assert set(seen.values()) <= {"ENOENT", "EACCES", "EPERM"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount something to test with")
def test_what_is_mounted_below_a_readable_folder_stays_out(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    below = tmp_path / "data" / "disk"
    below.mkdir(parents=True)
    below.chmod(0o777)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "none", below], check=True)
    try:
        code = """
attempt("list", lambda: os.listdir("/data/disk"))
attempt("write", lambda: open("/data/disk/x", "w"))
"""
        (below / "file").touch()
        options = {"readable": {"/data": below.parent}}
        seen = attempts(engine, python_image, tmp_path / "out", code, **options)
        assert [path.name for path in below.iterdir()] == ["file"]
    finally:
        subprocess.run(["umount", below], check=True)
    assert seen == {"list": "got []", "write": "EROFS"}


def test_becoming_root(engine: docker.DockerClient, python_image: str, tmp_path: Path) -> None:
    code = """
import ctypes, glob, stat, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
attempt("setuid", lambda: os.setuid(0))
attempt("setgid", lambda: os.setgid(0))
attempt("groups", lambda: os.setgroups([0]))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("device", lambda: os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0)))
attempt("mount", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
attempt("remount", lambda: call("mount", b"none", b"/", b"none", 32, None))
attempt("unmount", lambda: call("umount2", b"/output", 0))
for name, flag in (("user", 0x10000000), ("mounts", 0x20000), ("network", 0x40000000)):
    attempt("unshare " + name, lambda: call("unshare", flag))
attempt("enter", lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
attempt("bpf", lambda: call("syscall", 321, 0, 0, 0))
attempt("keys", lambda: call("syscall", 250, 0, -3, 0))
open("/tmp/run", "w").write("#!/bin/sh\\necho ran\\n")
os.chmod("/tmp/run", 0o4755)
attempt("program in /tmp", lambda: subprocess.run(["/tmp/run"]))
print_id = ["python3", "-c", "import os; print(os.getuid(), os.geteuid())"]
copied = [path for path in glob.glob("/usr/bin/*") if os.stat(path).st_mode & stat.S_ISUID]
for path in copied:
    if os.path.basename(path) in ("su", "mount", "newgrp"):
        arguments = {"su": ["-c", "id"], "mount": ["-t", "tmpfs", "x", "/tmp"], "newgrp": ["root"]}
        ended = subprocess.run([path, *arguments[os.path.basename(path)]], capture_output=True,
                               stdin=subprocess.DEVNULL)
        assert ended.returncode, ended
        assert b"uid=0" not in ended.stdout, ended
child = subprocess.run(print_id, capture_output=True, text=True).stdout
attempt("still", lambda: child.split())
"""
    seen = attempts(engine, python_image, tmp_path / "out", code)
    assert seen.pop("still") == "got ['65534', '65534']"
    assert seen.pop("program in /tmp") == "EACCES"
    assert set(seen.values()) <= {"EPERM", "EACCES", "ENOSYS"}


def test_engine_socket(engine: docker.DockerClient, python_image: str, tmp_path: Path) -> None:
    code = """
import socket, stat
for place in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
              "/run/podman/podman.sock", "/host/var/run/docker.sock"):
    attempt(place, lambda: socket.socket(socket.AF_UNIX).connect(place))
attempt("any", lambda: [path for folder, _, names in os.walk("/") for name in names
    if not folder.startswith("/proc")
    and stat.S_ISSOCK(os.lstat(path := os.path.join(folder, name)).st_mode)])
"""
    seen = attempts(engine, python_image, tmp_path / "out", code)
    assert seen.pop("any") == "got []"
    assert set(seen.values()) == {"ENOENT"}


def test_fork_bomb(engine: docker.DockerClient, python_image: str, tmp_path: Path) -> None:
    code = """
        import os, time
        made = 0
        while True:
            try:
                if not os.fork():
                    while True:
                        try:
                            os.fork()
                        except OSError:
                            pass
                made += 1
            except OSError as error:
                print(error.errno, len([p for p in os.listdir("/proc") if p.isdigit()]), flush=True)
                time.sleep(3600)
    """
    limits = replace(SMALL, seconds=2)
    outcome = run_code(engine, python_image, tmp_path / "out", code, limits)
    assert outcome.status == "time"
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert lines
    assert {number for number, _ in lines} == {"11"}  # EAGAIN
    assert max(int(count) for _, count in lines) <= SMALL.processes


def test_many_threads(engine: docker.DockerClient, python_image: str, tmp_path: Path) -> None:
    code = """
        import threading, time
        while True:
            threading.Thread(target=time.sleep, args=[3600], daemon=True).start()
    """
    outcome = run_code(engine, python_image, tmp_path / "out", code)
    assert outcome.status == "failed"
    assert "can't start new thread" in outcome.reason


@pytest.mark.parametrize(
    ("place", "size"), [("/output", 8 * MIB), ("/tmp", 4 * MIB), ("/dev/shm", 4 * MIB)]
)
def test_full_disk(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, place: str, size: int
) -> None:
    code = f"""
written = 0
def fill():
    global written
    with open("{place}/x", "wb", buffering=0) as file:
        while True:
            written += file.write(bytes(1 << 16))
attempt("fill", fill)
attempt("written", lambda: written)
"""
    seen = attempts(engine, python_image, tmp_path / "out", code)
    assert seen == {"fill": "ENOSPC", "written": f"got {size}"}
    left = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert left == (size if place == "/output" else 0)


@pytest.mark.parametrize(("place", "count"), [("/output", 40), ("/tmp", 29), ("/dev/shm", 29)])
def test_many_files(
    engine: docker.DockerClient, python_image: str, tmp_path: Path, place: str, count: int
) -> None:
    code = f"""
def fill():
    for n in range(1_000_000):
        open("{place}/%d" % n, "w").close()
attempt("fill", fill)
attempt("links", lambda: os.link("{place}/0", "{place}/link"))
attempt("made", lambda: len(os.listdir("{place}")))
"""
    seen = attempts(engine, python_image, tmp_path / "out", code)
    assert seen == {"fill": "ENOSPC", "links": "ENOSPC", "made": f"got {count}"}


def test_killing_the_first_process(
    engine: docker.DockerClient, python_image: str, tmp_path: Path
) -> None:
    code = """
import signal
child = os.fork()
if not child:
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        os.kill(1, number)
    os.kill(-1, signal.SIGKILL)
    os._exit(0)
ended = os.waitpid(child, 0)[1]
attempt("mine", os.getpid)
attempt("machine", lambda: os.kill(2 ** 22 - 1, 0))
"""
    assert attempts(engine, python_image, tmp_path / "out", code) == {
        "mine": "got 1",
        "machine": "ESRCH",
    }
