"""Wheels by the host's own pip, from a local folder; each is compared with the lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.containers import wheelhouse
from harness.containers.wheelhouse import fill_wheelhouse
from harness.errors import WorkError


def make_wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> Path:
    """A wheel that pip takes for one, with a module in it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pip is set up with: this folder, and no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.fixture
def lock(index: Path, tmp_path: Path) -> Path:
    """Two packages: one for any machine, one for the images' platform alone."""
    wheels = [
        make_wheel(index, "second", "2.0"),
        make_wheel(index, "first_one", "1.0+cpu", "cp311-cp311-manylinux_2_28_x86_64"),
    ]
    make_wheel(index, "first_one", "1.0+cpu", "cp312-cp312-manylinux_2_28_x86_64")
    make_wheel(index, "second", "3.0")
    path = tmp_path / "x.lock"
    path.write_text(
        f"second==2.0 --hash=sha256:{sha256(wheels[0])}\n"
        f"first-one==1.0+cpu --hash=sha256:{sha256(wheels[1])}\n"
    )
    return path


def test_the_wheels_of_the_lock_and_no_others_in_its_order(lock: Path, tmp_path: Path) -> None:
    said: list[str] = []
    house = tmp_path / "a" / "house"
    wheels = fill_wheelhouse(lock, house, said.append)
    assert [path.name for path in wheels] == [
        "second-2.0-py3-none-any.whl",
        "first_one-1.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
    ]
    assert sorted(path for path in house.rglob("*") if path.is_file()) == sorted(
        [*wheels, house / ".lock"]
    )
    assert said == [f"downloading 2 of 2 packages to {house}"]


def test_what_is_there_is_not_asked_for_again(
    lock: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = tmp_path / "house"
    wheels = fill_wheelhouse(lock, house, print)
    wheels[0].unlink()
    said: list[str] = []
    assert fill_wheelhouse(lock, house, said.append) == wheels
    assert said == [f"downloading 1 of 2 packages to {house}"]
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert fill_wheelhouse(lock, house, said.append) == wheels
    assert len(said) == 1


def test_a_changed_wheel_is_named_with_both_hashes(lock: Path, tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheel = fill_wheelhouse(lock, house, print)[0]
    expected = sha256(wheel)
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(WorkError) as stopped:
        fill_wheelhouse(lock, house, print)
    message = str(stopped.value)
    assert message.startswith(
        f"{wheel}: its SHA-256 is {sha256(wheel)}, in x.lock it is {expected};"
    )
    wheel.unlink()
    assert sha256(fill_wheelhouse(lock, house, print)[0]) == expected


def test_a_wheel_that_the_index_changed_is_refused(lock: Path, index: Path, tmp_path: Path) -> None:
    """With its name and both hashes; nothing of it is kept."""
    wheel = index / "second-2.0-py3-none-any.whl"
    expected = sha256(wheel)
    wheel.write_bytes(wheel.read_bytes() + b"more")
    house = tmp_path / "house"
    with pytest.raises(WorkError) as stopped:
        fill_wheelhouse(lock, house, print)
    message = str(stopped.value)
    assert "\n" not in message
    for word in ("second==2.0", expected, sha256(wheel)):
        assert word in message
    assert not list(house.rglob("second*"))
    assert not list(house.glob(".download-*"))


def test_a_package_that_the_index_does_not_have(lock: Path, index: Path, tmp_path: Path) -> None:
    (index / "second-2.0-py3-none-any.whl").unlink()
    with pytest.raises(
        WorkError, match=r"pip says: No matching distribution found for second==2\.0"
    ):
        fill_wheelhouse(lock, tmp_path / "house", print)


def test_another_build_of_the_same_version_is_a_file_of_its_own(
    lock: Path, index: Path, tmp_path: Path
) -> None:
    """As when the images move to another Python: what older checkouts need stays."""
    house = tmp_path / "house"
    before = fill_wheelhouse(lock, house, print)
    other = make_wheel(index, "second", "2.0", "cp311-cp311-manylinux_2_28_x86_64")
    newer = tmp_path / "newer.lock"
    newer.write_text(f"second==2.0 --hash=sha256:{sha256(other)}\n")
    assert [path.name for path in fill_wheelhouse(newer, house, print)] == [other.name]
    assert fill_wheelhouse(lock, house, print) == before


def test_half_a_wheel_is_not_kept(lock: Path, index: Path, tmp_path: Path) -> None:
    """pip leaves one behind where it cannot write on: here at a limit on a file's size."""
    path = index / "second-2.0-py3-none-any.whl"
    before = sha256(path)
    with zipfile.ZipFile(path, "a") as wheel:
        wheel.writestr("data.bin", bytes(1 << 20))
    lock.write_text(lock.read_text().replace(before, sha256(path)))
    house = tmp_path / "house"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, limits[1]))
    try:
        with pytest.raises(WorkError) as stopped:
            fill_wheelhouse(lock, house, print)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "pip says: OSError: [Errno 27] File too large" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not list(house.rglob("second*"))
    assert sha256(fill_wheelhouse(lock, house, print)[0]) == sha256(path)


def test_what_did_come_need_not_come_again(lock: Path, index: Path, tmp_path: Path) -> None:
    (index / "first_one-1.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").rename(tmp_path / "away")
    house = tmp_path / "house"
    with pytest.raises(WorkError, match="No matching distribution"):
        fill_wheelhouse(lock, house, print)
    assert [path.name for path in house.rglob("*.whl")] == ["second-2.0-py3-none-any.whl"]


def test_a_full_disk_is_named_as_such() -> None:
    """What pip 26.2 said on a full disk."""
    said = """ERROR: Exception:
Traceback (most recent call last):
  File "shutil.py", line 144, in _fastcopy_sendfile
    sent = os.sendfile(outfd, infd, offset, blocksize)
OSError: [Errno 28] No space left on device: 'a.whl' -> 'b.whl'
"""
    assert wheelhouse._reason(said) == (
        "OSError: [Errno 28] No space left on device: 'a.whl' -> 'b.whl'; "
        "the disk is full, free some"
    )


def test_an_index_that_does_not_answer_is_told_from_one_without_the_package(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_RETRIES", "1")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        with pytest.raises(WorkError, match=r"second==2\.0; no index answers, check the network"):
            fill_wheelhouse(lock, tmp_path / "house", print)


def test_pytorch_own_index_is_asked_for_its_cpu_build_when_pips_has_none(
    lock: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = index / "first_one-1.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    page = tmp_path / "own" / "first-one"
    page.mkdir(parents=True)
    wheel.rename(page / wheel.name)
    (page / "index.html").write_text(f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "empty").as_uri())
    monkeypatch.setattr(wheelhouse, "_TORCH_CPU_INDEX", (tmp_path / "own").as_uri())
    wheels = fill_wheelhouse(lock, tmp_path / "house", print)
    assert [path.name for path in wheels] == ["second-2.0-py3-none-any.whl", wheel.name]


def test_a_folder_that_cannot_be_used(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match=r"file/house: not a directory; packages of images are"):
        fill_wheelhouse(lock, tmp_path / "file" / "house", print)


def test_a_full_wheelhouse_is_only_read(lock: Path, tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheels = fill_wheelhouse(lock, house, print)
    (house / ".lock").unlink()
    assert fill_wheelhouse(lock, house, print) == wheels
    assert not (house / ".lock").exists()


def test_one_process_downloads_and_others_wait_and_say_so(lock: Path, tmp_path: Path) -> None:
    """What the first has brought is not downloaded again; what a killed one left is removed."""
    house, said, waits = tmp_path / "house", list[str](), threading.Event()

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    ready = fill_wheelhouse(lock, tmp_path / "ready", print)
    (house / ".download-left").mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        with (house / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            second = pool.submit(fill_wheelhouse, lock, house, say)
            assert waits.wait(timeout=60)
            for wheel in ready:
                shutil.copytree(wheel.parent, house / wheel.parent.name)
        assert [path.name for path in second.result()] == [path.name for path in ready]
    assert said == [f"waiting for another process that downloads to {house}"]
    assert not (house / ".download-left").exists()


def test_without_pip_the_remedy_is_named(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WorkError, match=r"has no pip .* ensurepip.*--no-docker"):
        fill_wheelhouse(lock, tmp_path / "house", print)


def test_several_processes_share_a_folder(lock: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; "
        "from harness.containers.wheelhouse import fill_wheelhouse; "
        "print(len(fill_wheelhouse(Path(sys.argv[1]), Path(sys.argv[2]), lambda text: None)))"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, lock, tmp_path / "house"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        for _ in range(3)
    ]
    assert [run.communicate()[0] for run in runs] == ["2\n"] * 3
