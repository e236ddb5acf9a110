"""The last step of `make lock`: the images' locks, resolved by pip from package metadata.

Every pin of requirements/runtime.lock, PyTorch's build of the variant with what only that needs,
and pip itself, each with the hash of the one wheel for CPython 3.11 on x86-64 Linux.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.containers.lock import pinned_versions
from harness.containers.target import PIP_TARGET

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Made by `make lock`: what the image `{variant}` of docker/images.json holds, for CPython 3.11 on
# x86-64 Linux. {note}
"""
NOTES = {
    "cpu": "PyTorch's CPU build.",
    "cuda": "PyTorch's CUDA build of the package index, with NVIDIA's packages.\n"
    "# Resolved from package metadata; neither downloaded nor installed anywhere yet.",
}


def main() -> None:
    """Write docker/requirements-{cpu,cuda}.lock."""
    # Which packages a package needs, pip decides by the machine and the Python that it runs on.
    here = (platform.system(), platform.machine(), *sys.version_info[:2])
    if here != ("Linux", "x86_64", 3, 11):
        sys.exit(f"make_locks: {here}: the images' locks are made on x86-64 Linux by Python 3.11; "
                 "make lock PYTHON=python3.11")  # fmt: skip
    pins = pinned_versions(ROOT / "requirements/runtime.lock")
    torch = pinned_versions(ROOT / "requirements/torch.txt")["torch"]
    for variant, version in (("cpu", f"{torch}+cpu"), ("cuda", torch)):
        lock = ROOT / f"docker/requirements-{variant}.lock"
        before = pinned_versions(lock) if lock.is_file() and "--upgrade" not in sys.argv else {}
        # What only the images hold (pip, NVIDIA's packages) stays as it is while PyTorch does.
        kept = {name: pin for name, pin in before.items() if name not in pins}
        if before.get("torch") != version:
            kept.clear()
        # === is an exact string: 2.13.0 does not match the CPU build 2.13.0+cpu.
        wanted = [f"{name}=={pin}" for name, pin in pins.items()]
        found = resolve([*wanted, f"torch==={version}", "pip"], kept)
        lock.write_text(text(variant, found))


def resolve(wanted: list[str], kept: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """Name, version, file name, SHA-256 of each wheel, sorted by name."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        constraints = folder / "kept.txt"
        constraints.write_text("".join(f"{name}=={pin}\n" for name, pin in kept.items()))
        # The environment's own pip may be one that downloads gigabytes of wheels to look into.
        run_pip(["-m", "pip"], "download", "--no-deps", f"--dest={folder}",
                f"--constraint={constraints}", "pip")  # fmt: skip
        wheel = next(folder.glob("pip-*.whl"))
        # `make lock` puts PyTorch's CPU build into build/lock. fast-deps: of an index without
        # metadata files, only the part of a wheel that has them is read.
        run_pip(
            [f"{wheel}/pip"], "install", "--dry-run", "--ignore-installed", f"--target={folder}/x",
            "--use-feature=fast-deps", f"--find-links={ROOT / 'build/lock'}", *PIP_TARGET,
            f"--constraint={constraints}", f"--report={folder / 'report.json'}", *wanted,
        )  # fmt: skip
        found = json.loads((folder / "report.json").read_bytes())["install"]
    return sorted(
        (
            re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(),
            one["metadata"]["version"],
            one["download_info"]["url"].rpartition("/")[2].replace("%2B", "+"),
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in found
    )


def run_pip(pip: list[str], command: str, *arguments: str) -> None:
    """Run this pip; what it says of errors is shown."""
    subprocess.run(
        [sys.executable, *pip, "--disable-pip-version-check", command, "--quiet", *arguments],
        check=True,
    )


def text(variant: str, packages: list[tuple[str, str, str, str]]) -> str:
    """The lock's text."""
    head = HEAD.format(variant=variant, note=NOTES[variant])
    return head + "".join(
        f"# {file}\n{name}=={version} --hash=sha256:{sha256}\n"
        for name, version, file, sha256 in packages
    )


if __name__ == "__main__":
    main()
