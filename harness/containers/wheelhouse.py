"""The wheels of an image, downloaded on this machine with pip's own configuration and checked."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import Version

from harness.canonical import file_digest
from harness.containers.lock import LockedPackage, read_lock
from harness.containers.target import PIP_TARGET
from harness.errors import WorkError

# PyTorch's CPU builds are on its own index; asked when pip's own has none, as in the Makefile.
_TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def fill_wheelhouse(lock: Path, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """The wheel of each package of the lock, in its order; what is missing is downloaded.

    Several processes may share the folder. WorkError: a wheel differs from the lock, or cannot be
    had.
    """
    packages = list(read_lock(lock).values())
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        there = _wheels(folder)
        missing = [package for package in packages if _key(package) not in there]
        if missing:
            say(f"downloading {len(missing)} of {len(packages)} packages to {folder}")
            _download(missing, folder)
            there = _wheels(folder)
        wheels = [there[_key(package)] for package in packages]
        for package, wheel in zip(packages, wheels, strict=True):
            found = file_digest(wheel)
            if found != package.sha256:
                raise WorkError(
                    f"{wheel}: its SHA-256 is {found}, in {lock.name} it is {package.sha256}; "
                    "remove the file, and the same command downloads it again"
                )
    return wheels


def _download(packages: Sequence[LockedPackage], folder: Path) -> None:
    """By pip, which checks the hashes too, into a folder beside; whole files are moved over."""
    if importlib.util.find_spec("pip") is None:
        raise WorkError(
            f"{sys.executable} has no pip to download packages with; install it "
            "(python -m ensurepip), or run on this machine: xstilts bench --no-docker"
        )
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as place:
        torch = [package for package in packages if package.version.endswith("+cpu")]
        rest = [package for package in packages if package not in torch]
        error = _pip(rest, Path(place)) if rest else None
        if torch and error is None:
            error = _pip(torch, Path(place))
            if error is not None and not os.environ.get("PIP_NO_INDEX"):
                error = _pip(torch, Path(place), f"--index-url={_TORCH_CPU_INDEX}")
        for wheel in Path(place).glob("*.whl"):  # also after an error: they are whole
            wheel.rename(folder / wheel.name)
    if error is not None:
        raise WorkError(f"packages cannot be downloaded: pip says: {error}")


def _pip(packages: Sequence[LockedPackage], place: Path, *options: str) -> str | None:
    """Download; None, or pip's reason in one line."""
    pins = place / "pins.txt"
    pins.write_text(
        "".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in packages)
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--require-hashes", f"--requirement={pins}", f"--dest={place}",
            *PIP_TARGET, *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else _reason(done.stderr)


def _reason(said: str) -> str:
    """pip's last error and what it says to it, of a hash that differs both hashes, in one line."""
    errors = [part for part in said.split("ERROR: ")[1:] if part.strip()] or [said]
    return " ".join(errors[-1].split())


def _wheels(folder: Path) -> dict[tuple[NormalizedName, Version], Path]:
    found = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue  # somebody else's file
        found[name, version] = path
    return found


def _key(package: LockedPackage) -> tuple[NormalizedName, Version]:
    return canonicalize_name(package.name), Version(package.version)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
