"""The locks of images: one pin and one hash per package, for one Python on one platform."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import InputError, reading

_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==(\S+) --hash=sha256:([0-9a-f]{64})")
_VERSION = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]++)(?! *;)", re.MULTILINE)
_MADE_BY = "run make lock"


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package's version and the SHA-256 (hex) of its wheel."""

    name: str  # canonical: lower case, words joined by -
    version: str
    sha256: str


def read_lock(lock: Path) -> dict[str, LockedPackage]:
    """The packages of a lock by name, in its order; InputError names the line that is none."""
    with reading(lock):
        lines = lock.read_text(encoding="utf-8").splitlines()
    packages: dict[str, LockedPackage] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _PIN.fullmatch(line.strip())
        if match is None:
            raise InputError(
                f"{lock}:{number}: '{line.strip()}'; allowed is NAME==VERSION --hash=sha256:... "
                f"({_MADE_BY})"
            )
        name = canonicalize_name(match[1])
        if name in packages:
            raise InputError(f"{lock}:{number}: {name} is there twice; {_MADE_BY}")
        packages[name] = LockedPackage(name, match[2], match[3])
    return packages


def check_lock(lock: Path, root: Path) -> None:
    """InputError unless the lock has what pyproject.toml asks for, in requirements/'s versions."""
    packages = read_lock(lock)
    pyproject = root / "pyproject.toml"
    with reading(pyproject):
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        found = packages.get(canonicalize_name(wanted.name))
        if found is None:
            raise _outdated(lock, f"{wanted.name} is not in it; pyproject.toml asks for {text}")
        if not wanted.specifier.contains(found.version, prereleases=True):
            raise _outdated(
                lock, f"has {found.name} {found.version}; pyproject.toml asks for {text}"
            )
    requirements = root / "requirements"
    versions = pinned_versions(requirements / "runtime.lock")
    for name, version in (versions | pinned_versions(requirements / "torch.txt")).items():
        found = packages.get(name)
        # The build of PyTorch is part of its version: 2.13.0+cpu.
        if found is None or found.version.partition("+")[0] != version:
            has = f"has {name} {found.version}" if found else f"{name} is not in it"
            raise _outdated(lock, f"{has}; requirements/ has {version}")


def pinned_versions(path: Path) -> dict[str, str]:
    """Name to version of the `name==version` lines of a requirements file of any kind.

    A pin with a condition is left out: it may rightly be absent.
    """
    with reading(path):
        text = path.read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in _VERSION.findall(text)}


def _outdated(lock: Path, problem: str) -> InputError:
    return InputError(f"{lock}: out of date: {problem}; {_MADE_BY}")
