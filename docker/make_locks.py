"""The last step of `make lock`: the images' locks, resolved by pip from package metadata.

Every pin of requirements/runtime.lock, PyTorch's build of the variant with what only that needs,
and pip itself, each with the hash of the one wheel for CPython 3.11 on x86-64 Linux.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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
    pins = re.findall(r"^(\S+==\S+)", (ROOT / "requirements/runtime.lock").read_text(), re.M)
    torch = re.search(r"^torch==(\S+)", (ROOT / "requirements/torch.txt").read_text(), re.M)
    assert torch is not None, "requirements/torch.txt names no version"
    # === is an exact string: 2.13.0 does not match the CPU build 2.13.0+cpu.
    for variant, version in (("cpu", f"{torch[1]}+cpu"), ("cuda", torch[1])):
        lock = ROOT / f"docker/requirements-{variant}.lock"
        lock.write_text(text(variant, resolve([*pins, f"torch==={version}", pip_pin(lock)])))


def pip_pin(lock: Path) -> str:
    """The pip of the lock as it is; the newest where there is none, or with --upgrade."""
    found = re.search(r"^pip==\S+", lock.read_text(), re.M) if lock.is_file() else None
    return found[0] if found and "--upgrade" not in sys.argv else "pip"


def resolve(requirements: list[str]) -> list[tuple[str, str, str, str]]:
    """Name, version, file name, SHA-256 of each wheel, sorted by name."""
    # `make lock` puts PyTorch's CPU build there.
    options = [f"--find-links={ROOT / 'build/lock'}", *PIP_TARGET]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [
                sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
                "--dry-run", "--ignore-installed", f"--target={folder}/none", f"--report={report}",
                *options, *requirements,
            ],
            check=True,
        )  # fmt: skip
        found = json.loads(report.read_bytes())["install"]
    return sorted(
        (
            re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(),
            one["metadata"]["version"],
            one["download_info"]["url"].rpartition("/")[2].replace("%2B", "+"),
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in found
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
