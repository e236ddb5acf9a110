"""Wheels by the host's own pip, from a local folder; each is compared with the lock."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
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
    assert sorted(house.glob("*")) == sorted([*wheels, house / ".lock"])
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
    assert not list(house.glob("second*"))
    assert not list(house.glob(".download-*"))


def test_a_package_that_the_index_does_not_have(lock: Path, index: Path, tmp_path: Path) -> None:
    (index / "second-2.0-py3-none-any.whl").unlink()
    with pytest.raises(
        WorkError, match=r"pip says: No matching distribution found for second==2\.0"
    ):
        fill_wheelhouse(lock, tmp_path / "house", print)


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
