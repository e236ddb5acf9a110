"""`xstilts doctor`: is this machine ready? Every check runs; none stops the others."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click

from harness.cli.checks import Check, Status, report
from harness.resources import resource_dir

_PYTHONS = ((3, 11), (3, 13))  # first allowed, first too new
_GIB = 1024**3
_MEMORY_FAIL, _MEMORY_WARN = 1.5, 4.0  # GiB free: the default suite; several workers
_DISK_FAIL, _DISK_WARN = 0.5, 5.0  # GiB free: the default suite; XLM-R Large and its adapters
_NANO_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_REINSTALL = "run make setup (or install xstilts again)"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              help="Folder that results will go to.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def command(out: Path, as_json: bool) -> None:
    """Check Python, packages, PyTorch, memory, disk and what ships with xstilts.

    Exit code 1 if a check fails; a warning only says what to expect.
    """
    report(run_checks(out), as_json=as_json)


def run_checks(out: Path) -> list[Check]:
    """All checks, in the order of the report; a check that breaks is a check that failed."""
    checks: dict[str, Callable[[], Check]] = {
        "python": _python,
        "packages": _packages,
        "torch": _torch,
        "gpu": _gpu,
        "memory": _memory,
        "disk": lambda: _disk(out),
        "output": lambda: _writable(out),
        "nano": _nano,
        "schemas": _schemas,
        "docker": _docker,
    }
    done = []
    for name, check in checks.items():
        try:
            done.append(check())
        except Exception as error:  # a broken installation can raise anything; the report goes on
            text = " ".join(str(error).split())
            done.append(Check(name, "fail", f"{type(error).__name__}: {text}", _REINSTALL))
    return done


def _python() -> Check:
    first, too_new = _PYTHONS
    found = f"{platform.python_version()} ({platform.machine()})"
    if first <= sys.version_info[:2] < too_new:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "allowed are Python 3.11 and 3.12")


def _packages() -> Check:
    from harness.containers.lock import pinned_versions  # noqa: PLC0415  (needs a package itself)

    locked = pinned_versions(resource_dir("requirements") / "runtime.lock")
    missing, other = [], []
    for name, version in locked.items():
        found = _version(name)
        if found is None:
            missing.append(name)
        elif found != version:
            other.append(f"{name} {found} (locked: {version})")
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", _REINSTALL)
    if other:
        remedy = "numbers may differ in the last digits; run make setup for the locked versions"
        return Check("packages", "warn", ", ".join(other), remedy)
    return Check("packages", "ok", f"{len(locked)} as locked")


def _torch() -> Check:
    import torch  # noqa: PLC0415  (seconds)

    from harness.containers.lock import pinned_versions  # noqa: PLC0415  (needs a package itself)

    locked = pinned_versions(resource_dir("requirements") / "torch.txt")["torch"]
    found = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if torch.__version__.split("+")[0] == locked:
        return Check("torch", "ok", found)
    remedy = f"locked is {locked}; run make setup for the same numbers as others"
    return Check("torch", "warn", found, remedy)


def _gpu() -> Check:
    import torch  # noqa: PLC0415  (seconds)

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Check("gpu", "ok", f"{', '.join(names)} (CUDA {torch.version.cuda})")
    if shutil.which("nvidia-smi"):
        remedy = "install the CUDA build of torch: make clean setup"
        return Check("gpu", "warn", "nvidia-smi is here, but this torch sees no GPU", remedy)
    return Check("gpu", "ok", "none; the default suite needs none, XLM-R Large is slow without")


def _memory() -> Check:
    # A missing package (psutil) must not stop the other checks.
    from harness.machine import free_memory, total_memory  # noqa: PLC0415

    free = free_memory() / _GIB
    found = f"{free:.1f} of {total_memory() / _GIB:.1f} GiB free"
    remedy = "close other programs or use --workers 1"
    status = _status(free, _MEMORY_FAIL, _MEMORY_WARN)
    return Check("memory", status, found, "" if status == "ok" else remedy)


def _disk(out: Path) -> Check:
    place = _existing(out)
    free = shutil.disk_usage(place).free / _GIB
    status = _status(free, _DISK_FAIL, _DISK_WARN)
    remedy = "" if status == "ok" else "free some or choose another disk with --out"
    return Check("disk", status, f"{free:.1f} GiB free at {place}", remedy)


def _writable(out: Path) -> Check:
    """The store writes into a temporary folder and renames it: both are tried here."""
    place = _existing(out)
    try:
        with tempfile.TemporaryDirectory(prefix=".xstilts-doctor-", dir=place) as folder:
            (Path(folder) / "a").mkdir()
            (Path(folder) / "a").rename(Path(folder) / "b")
    except OSError as error:
        found = f"{place}: {error.strerror or error}"
        return Check("output", "fail", found, "choose a folder you may write to with --out")
    return Check("output", "ok", f"{place} can be written to")


def _nano() -> Check:
    from harness.canonical import file_digest  # noqa: PLC0415

    folder = Path(__file__).resolve().parent.parent / "data" / "world" / "nano"
    missing = [name for name in _NANO_FILES if not (folder / name).is_file()]
    if missing:
        found = f"{folder}: no {', '.join(missing)}"
        return Check("nano", "fail", found, "the built-in backbone is incomplete; " + _REINSTALL)
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return Check("nano", "warn", f"{folder}: no SHA256SUMS", "its files cannot be compared")
    lines = (line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines())
    expected = {name: digest for digest, name in lines}
    damaged = [
        name
        for name, digest in expected.items()
        if not (folder / name).is_file() or file_digest(folder / name) != digest
    ]
    if damaged:
        found = f"{folder}: changed or missing: {', '.join(damaged)}"
        return Check("nano", "fail", found, _REINSTALL)
    return Check("nano", "ok", f"{len(expected)} files as shipped")


def _schemas() -> Check:
    from jsonschema import Draft202012Validator  # noqa: PLC0415  (may be missing)

    files = sorted(resource_dir("schemas").glob("*.schema.json"))
    if not files:
        return Check("schemas", "fail", "no schemas found", _REINSTALL)
    for path in files:
        Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))
    return Check("schemas", "ok", f"{len(files)} load")


def _docker() -> Check:
    from harness.containers.engine import (  # noqa: PLC0415  (may be missing)
        EngineUnreachable,
        connect,
    )

    try:
        version = connect().version()["Version"]
    except EngineUnreachable as error:
        found = f"{error.problem}; make bench runs on this machine"
        return Check("docker", "ok", found)
    return Check("docker", "ok", f"engine {version} answers; make bench runs in a container")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _status(value: float, fail_below: float, warn_below: float) -> Status:
    return "fail" if value < fail_below else "warn" if value < warn_below else "ok"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
