"""The base made from Debian's packages: found again, checked, made the same twice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from harness.containers import debian
from harness.containers.debian import debian_base, make_debian_base
from harness.containers.images import Base
from harness.errors import WorkError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root")
_NO_ENGINE = docker.DockerClient.__new__(docker.DockerClient)


@pytest.fixture
def repository(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name of its own for the images, all removed at the end."""
    name = f"xstilts-test-{uuid.uuid4().hex[:12]}"
    monkeypatch.setattr(debian, "_REPOSITORY", name)
    yield name
    for image in engine.images.list(name=name):
        for tag in image.tags:
            engine.images.remove(tag)
    for image in engine.images.list(filters={"label": f"org.xstilts.test={name}"}):
        engine.images.remove(image.id)  # the tag went to another


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder first on the PATH for stand-ins of programs; temporary files go to tmp_path/tmp."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return programs


def _program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def _import(engine: docker.DockerClient, repository: str, content: bytes, tag: str = "") -> str:
    """An image of one file, tagged by its content's digest (or `tag`); returns that digest."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    digest = hashlib.sha256(tar.getvalue()).hexdigest()
    tag = tag or f"bookworm-{digest[:12]}"
    labels = f'LABEL org.xstilts.base.name="Debian of May" org.xstilts.test={repository}'
    engine.api.import_image_from_data(tar.getvalue(), repository, tag, changes=[labels])
    return f"sha256:{digest}"


def test_the_newest_base_that_is_here_is_used(
    engine: docker.DockerClient, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "make_debian_base", lambda engine, say: pytest.fail("made anew"))
    _import(engine, repository, b"older")
    digest = _import(engine, repository, b"newer")
    _import(engine, repository, b"not one of these", tag="dev")
    reference = f"{repository}:bookworm-{digest[7:19]}"
    said: list[str] = []
    assert debian_base(engine, said.append) == Base("debian", "Debian of May", reference, digest)
    assert said == []


def test_other_content_under_the_tag_is_refused(
    engine: docker.DockerClient, repository: str
) -> None:
    digest = _import(engine, repository, b"original")
    tag = f"bookworm-{digest[7:19]}"
    other = _import(engine, repository, b"tampered", tag=tag)
    with pytest.raises(WorkError, match="is not what its tag says") as caught:
        debian_base(engine, print)
    assert other in str(caught.value)
    assert f"docker rmi {repository}:{tag}" in str(caught.value)


def test_a_layer_on_top_of_it_is_refused(engine: docker.DockerClient, repository: str) -> None:
    digest = _import(engine, repository, b"original")
    tag = f"bookworm-{digest[7:19]}"
    container = engine.api.create_container(f"{repository}:{tag}", ["/file"])
    try:
        added = io.BytesIO()
        with tarfile.open(fileobj=added, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("added"))
        engine.api.put_archive(container["Id"], "/", added.getvalue())
        engine.api.commit(container["Id"], repository, tag)
    finally:
        engine.api.remove_container(container["Id"])
    with pytest.raises(WorkError, match="is not what its tag says"):
        debian_base(engine, print)


def test_without_root_the_command_with_sudo_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(WorkError, match=r"needs root, once: sudo .*/xstilts image build"):
        make_debian_base(_NO_ENGINE, print)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("_path", lambda: "/nowhere", "apt-get install debootstrap,"),
        ("_KEYRING", Path("/nowhere/keyring.gpg"), "apt-get install debian-archive-keyring,"),
        ("_ROOM", 10**18, "MB are needed, "),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(
    host: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, said: str
) -> None:
    _program(host, "debootstrap", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "_KEYRING", host / "debootstrap")
    monkeypatch.setattr(debian, name, value)
    _fails(said)


def test_a_place_where_nothing_can_be_run_is_said(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(host, "debootstrap", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "_KEYRING", host / "debootstrap")
    place = SimpleNamespace(f_flag=os.ST_NODEV, f_bavail=10**12, f_frsize=4096)
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda folder: place)
        _fails("mounted noexec or nodev; TMPDIR names another place")
    monkeypatch.setattr(tempfile, "tempdir", str(host / "nowhere"))
    _fails("No such file or directory")


@needs_root
def test_debootstrap_checks_signatures_and_its_reason_is_said(host: Path) -> None:
    targets = "printf 'mirror+file:/etc/m\\nhttp://me:secret@mirror.example/debian/\\n'"
    _program(host, "apt-get", targets)
    _program(host, "debootstrap", 'echo "I: working"; echo "E: $*"; echo "W: warning"; exit 1')
    said: list[str] = []
    line = _fails("http://mirror.example/debian/; ", said)
    assert said == [
        "making a base from Debian's packages (mirror.example); this takes about a minute"
    ]
    assert "--force-check-gpg --keyring=/usr/share/keyrings/debian-archive-keyring.gpg" in line
    _program(host, "apt-get", "exit 100")
    said.clear()
    assert _fails("/root; put it right", said).count("://") == 0  # debootstrap knows a mirror
    assert "(debootstrap's mirror)" in said[0]


def _fails(said: str, told: list[str] | None = None) -> str:
    """Making a base fails with this line, and leaves nothing in the temporary folder."""
    with pytest.raises(WorkError) as caught:
        make_debian_base(_NO_ENGINE, ([] if told is None else told).append)
    line = str(caught.value)
    assert said in line
    assert line.endswith(", or run on this machine: xstilts bench --no-docker")
    assert "\n" not in line
    folder = Path(tempfile.gettempdir())
    assert not folder.exists() or list(folder.iterdir()) == []
    return line


# What the stand-in for debootstrap unpacks: kept, and left out.
_KEPT = """etc/debian_version etc/passwd etc/shadow usr/lib/locale/C.utf8/LC_CTYPE
    usr/share/doc/bash/copyright usr/share/common-licenses/GPL-3 usr/share/zoneinfo/UTC
    var/cache/debconf/config.dat var/lib/dpkg/status var/lib/dpkg/info/bash.list"""
_LEFT_OUT = """dev/console etc/apt/sources.list etc/hostname etc/passwd- etc/resolv.conf run/lock/x
    tmp/x usr/share/bug/x usr/share/doc/bash/README usr/share/doc/bash/examples/copyright
    usr/share/info/x usr/share/lintian/x usr/share/locale/de/x usr/share/man/man1/bash.1.gz
    var/cache/apt/x var/cache/debconf/config.dat-old var/cache/ldconfig/aux-cache
    var/lib/dpkg/status-old var/log/dpkg.log var/lib/apt/lists/x_dists_bookworm_Release"""


@needs_root
def test_the_layer_is_the_packages_without_what_is_volatile(
    engine: docker.DockerClient, repository: str, host: Path
) -> None:
    script = f"""for last; do root=$target; target=$last; done
for file in {" ".join((_KEPT + " " + _LEFT_OUT).split())}; do
  mkdir -p "$root/$(dirname $file)"; echo x > "$root/$file"
done
printf 'root:*:20782:0:99999:7:::\\nuser:!:1:0:99999:7:::\\n' > "$root/etc/shadow"
chmod 640 "$root/etc/shadow"
touch -d @1600000000 "$root/etc/debian_version"
printf 'Version: 12.5\\nDate: Sat, 10 Feb 2024 11:07:25 UTC\\nSHA256:\\n x\\n' \
  > "$root/var/lib/apt/lists/x_dists_bookworm_Release"
"""
    _program(host, "debootstrap", script)
    base = make_debian_base(engine, lambda line: None)
    assert base.name == "Debian 12.5 (bookworm, minbase, python3)"
    labels = engine.images.get(base.reference).labels
    assert labels == {"org.xstilts.base.kind": "debian", "org.xstilts.base.name": base.name}
    saved = io.BytesIO(b"".join(engine.images.get(base.reference).save()))
    with tarfile.open(fileobj=saved) as image:
        (manifest,) = json.loads(_read(image, "manifest.json"))
        (layer,) = manifest["Layers"]
        content = _read(image, layer)
    assert base.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = {member.name: member for member in tar if member.isreg()}
        # 10 February 2024 is day 19763 since 1970.
        assert _read(tar, "etc/shadow") == b"root:*:19763:0:99999:7:::\nuser:!:19763:0:99999:7:::\n"
        assert {"dev", "run", "tmp", "var/log"} <= set(tar.getnames())
    assert sorted(files) == sorted(_KEPT.split())
    assert files["etc/shadow"].mode == 0o640
    assert files["etc/passwd"].mtime == 1707563245
    assert files["etc/debian_version"].mtime == 1600000000


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


@needs_root
def test_ctrl_c_ends_debootstrap_and_removes_its_folder_but_not_what_it_mounted(
    host: Path, tmp_path: Path
) -> None:
    precious, started = tmp_path / "precious", tmp_path / "started"
    precious.mkdir()
    (precious / "file").write_text("kept")
    # The folder is the last argument but one.
    script = f"""for last; do root=$target; target=$last; done
mkdir -p "$root/proc" && mount --bind {precious} "$root/proc" && touch {started}
sleep 300 & wait"""
    _program(host, "debootstrap", script)
    code = "from harness.containers.debian import make_debian_base\nmake_debian_base(None, print)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": os.getcwd()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(300):
        if started.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    assert started.exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert (precious / "file").read_text() == "kept"
    assert _running(str(host / "debootstrap")) == []


def _running(argument: str) -> list[str]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument in line.read_bytes().decode(errors="replace").split("\0"):
                found.append(str(line))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.slow
@needs_root
def test_the_same_packages_give_the_same_image_twice_and_python_runs(
    engine: docker.DockerClient, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    first = debian_base(engine, said.append)
    assert len(said) == 1
    assert first.reference == f"{repository}:bookworm-{first.digest[7:19]}"
    assert debian_base(engine, pytest.fail) == first
    before = engine.images.get(first.reference).id
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    mask = os.umask(0o077)
    try:
        assert make_debian_base(engine, said.append) == first
    finally:
        os.umask(mask)
        engine.images.remove(before)
    # Which compiled modules do not fit their sources, and what came from this machine.
    script = """
import pathlib, sys
stale = []
for path in pathlib.Path(sys.prefix, "lib/python3.11").rglob("*.pyc"):
    source = path.parent.parent / f"{path.name.split('.')[0]}.py"
    written = int.from_bytes(path.read_bytes()[8:12], "little")
    stale += [] if written == int(source.stat().st_mtime) else [str(path)]
shadow = pathlib.Path("/etc/shadow").read_text().splitlines()
print(sys.version_info[:2], stale, len({line.split(":")[2] for line in shadow}))
print([name for name in ("/var/log", "/var/lib/apt/lists") if any(pathlib.Path(name).iterdir())])
print(len(list(pathlib.Path("/usr/share/doc").glob("*/copyright"))) > 50)
"""
    out = engine.containers.run(
        first.reference, ["python3", "-c", script], network_mode="none", remove=True
    )
    assert out.decode().splitlines() == ["(3, 11) [] 1", "[]", "True"]
