"""The last step of `make lock`, on a made-up checkout and wheels of the test."""

from __future__ import annotations

import ensurepip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.containers.lock import read_lock

ROOT = Path(__file__).resolve().parents[2]
_HERE = (platform.system(), platform.machine(), *sys.version_info[:2])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        _HERE != ("Linux", "x86_64", 3, 11),
        reason="the images' locks are made on x86-64 Linux by Python 3.11",
    ),
]


def add_wheel(folder: Path, name: str, version: str, *needs: str, tag: str = "py3-none-any") -> str:
    """Make a wheel that needs others; its SHA-256."""
    path = folder / f"{name}-{version}-{tag}.whl"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        )
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """numpy for two platforms, both builds of torch, and the pip that Python brings along."""
    wheels = tmp_path / "build" / "lock"
    for folder in (wheels, tmp_path / "docker", tmp_path / "requirements"):
        folder.mkdir(parents=True)
    bundled = list((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    bundled += Path("/usr/share/python-wheels").glob("pip-*.whl")  # Debian's place
    shutil.copy(bundled[0], wheels)
    shutil.copy(ROOT / "docker" / "make_locks.py", tmp_path / "docker")
    (tmp_path / "requirements" / "runtime.lock").write_text("numpy==1.0 \\\n    --hash=...\n")
    (tmp_path / "requirements" / "torch.txt").write_text("torch==2.0\n")
    add_wheel(wheels, "numpy", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    add_wheel(wheels, "numpy", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    add_wheel(wheels, "numpy", "1.1", tag="cp311-cp311-manylinux_2_28_x86_64")
    add_wheel(wheels, "torch", "2.0+cpu", "numpy")
    add_wheel(wheels, "torch", "2.0", "numpy", "nvidia_x>=1; platform_system == 'Linux'")
    add_wheel(wheels, "nvidia_x", "1.0")
    return tmp_path


def make_locks(checkout: Path, *arguments: str) -> dict[str, dict[str, str]]:
    """Variant to package to version."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(checkout / "build" / "lock"),
    }
    script = checkout / "docker" / "make_locks.py"
    subprocess.run([sys.executable, script, *arguments], env=environment, check=True)
    return {
        variant: {
            name: package.version
            for name, package in read_lock(
                checkout / "docker" / f"requirements-{variant}.lock"
            ).items()
        }
        for variant in ("cpu", "cuda")
    }


def test_each_variant_has_its_build_of_pytorch_and_pins_stay(checkout: Path) -> None:
    wheels, lock = checkout / "build" / "lock", checkout / "docker" / "requirements-cuda.lock"
    first = make_locks(checkout)
    common = {"numpy": "1.0", "pip": first["cpu"]["pip"]}
    assert first == {
        "cpu": {**common, "torch": "2.0+cpu"},
        "cuda": {**common, "nvidia-x": "1.0", "torch": "2.0"},
    }
    numpy = wheels / "numpy-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert (
        f"# {numpy.name}\n"
        f"numpy==1.0 --hash=sha256:{hashlib.sha256(numpy.read_bytes()).hexdigest()}\n"
    ) in lock.read_text()

    add_wheel(wheels, "nvidia_x", "1.1")
    before = lock.read_bytes()
    assert make_locks(checkout) == first
    assert lock.read_bytes() == before
    assert make_locks(checkout, "--upgrade")["cuda"]["nvidia-x"] == "1.1"


def test_what_an_older_pytorch_needed_does_not_stand_in_the_way(checkout: Path) -> None:
    wheels = checkout / "build" / "lock"
    make_locks(checkout)
    for build, needs in (("2.1+cpu", ["numpy"]), ("2.1", ["numpy", "nvidia_x>=2"])):
        add_wheel(wheels, "torch", build, *needs)
    add_wheel(wheels, "nvidia_x", "2.0")
    (checkout / "requirements" / "torch.txt").write_text("torch==2.1\n")
    newer = make_locks(checkout)
    assert newer["cpu"]["torch"] == "2.1+cpu"
    assert (newer["cuda"]["torch"], newer["cuda"]["nvidia-x"]) == ("2.1", "2.0")
