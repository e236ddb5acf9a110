"""The wheels of an image, downloaded on this machine with pip's own configuration and checked."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.canonical import file_digest
from harness.containers.lock import LockedPackage, read_lock
from harness.containers.target import PIP_TARGET
from harness.errors import WorkError

# PyTorch's CPU builds are on its own index; asked when pip's own has none, as in the Makefile.
_TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_PARTIAL = ".download-"


def fill_wheelhouse(lock: Path, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """The wheel of each package of the lock, in its order; what is missing is downloaded.

    Each wheel is in a subfolder named by its SHA-256, so that locks which need other builds of a
    version, and processes, may share the folder. WorkError: a wheel differs from the lock, or
    cannot be had.
    """
    packages = list(read_lock(lock).values())
    try:
        if len(_wheels(folder, packages)) < len(packages):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder, say):
                there = _wheels(folder, packages)
                missing = [package for package in packages if package not in there]
                if missing:
                    say(f"downloading {len(missing)} of {len(packages)} packages to {folder}")
                    _download(missing, folder)
        wheels = _wheels(folder, packages)
        for package, wheel in wheels.items():
            found = file_digest(wheel)
            if found != package.sha256:
                raise WorkError(
                    f"{wheel}: its SHA-256 is {found}, in {lock.name} it is {package.sha256}; "
                    "remove the file, and the same command downloads it again"
                )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WorkError(
            f"{error.filename or folder}: {reason}; packages of images are kept in {folder} "
            "(XDG_CACHE_HOME moves it)"
        ) from error
    return list(wheels.values())


def _wheels(folder: Path, packages: Sequence[LockedPackage]) -> dict[LockedPackage, Path]:
    """The wheels that are there, in the order of the packages."""
    found = {}
    for package in packages:
        for wheel in (folder / package.sha256).glob("*.whl"):
            found[package] = wheel
    return found


def _download(packages: Sequence[LockedPackage], folder: Path) -> None:
    """By pip, which checks the hashes too, into a folder beside; whole files are moved over."""
    if importlib.util.find_spec("pip") is None:
        raise WorkError(
            f"{sys.executable} has no pip to download packages with; install it "
            "(python -m ensurepip), or run on this machine: xstilts bench --no-docker"
        )
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder) as place:
        torch = [package for package in packages if package.version.endswith("+cpu")]
        rest = [package for package in packages if package not in torch]
        error = _pip(rest, Path(place)) if rest else None
        if torch and error is None:
            error = _pip(torch, Path(place))
            if error is not None and not os.environ.get("PIP_NO_INDEX"):
                index = os.environ.get("TORCH_CPU_INDEX", _TORCH_CPU_INDEX)
                error = _pip(torch, Path(place), f"--index-url={index}")
        expected = {package.sha256 for package in packages}
        # Also after an error, so that they need not come again; the last one may be half a file.
        for wheel in Path(place).glob("*.whl"):
            found = file_digest(wheel)
            if found in expected:
                (folder / found).mkdir(exist_ok=True)
                wheel.rename(folder / found / wheel.name)
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
            "--no-input", "--no-deps", "--require-hashes", f"--requirement={pins}",
            f"--dest={place}", *PIP_TARGET, *options,
        ],
        # /tmp may be too small for a gigabyte, and what a killed pip leaves there stays.
        env={**os.environ, "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL,  # an index that asks for a name would wait unseen
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else _reason(done.stderr)


def _reason(said: str) -> str:
    """pip's last error in one line: of a hash that differs both hashes, of a traceback its end."""
    error = said.rpartition("ERROR: ")[2].strip()
    if "Traceback (most recent call last):" in error:
        error = error.splitlines()[-1]
    line = " ".join(error.split())
    if "No space left on device" in said:
        return f"{line}; the disk is full, free some"
    if "connection broken by" in said:
        return f"{line}; no index answers, check the network and pip config list"
    return line


@contextmanager
def _locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One process downloads at a time; what a killed one left in the folder is removed."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that downloads to {folder}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        for left in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left)
        yield
