"""Run while an image is built, and by `xstilts image check`: what its Python environment is."""

from __future__ import annotations

import hashlib
import json
import os
import site
import sys
from pathlib import Path

from harness.canonical import file_digest


def fingerprint(folder: Path) -> str:
    """`sha256:` over names and contents of all files below `folder` but bytecode.

    Two builds from one lock give the same; times, owners and modes do not count.
    """
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".pyc" or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.readlink(path) if path.is_symlink() else file_digest(path)
        sha.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return f"sha256:{sha.hexdigest()}"


def main(arguments: list[str]) -> None:
    """Print this environment's fingerprint; with TOLD and OUT, write it and TOLD's facts to OUT."""
    packages = fingerprint(Path(site.getsitepackages()[0]))
    if arguments:
        told, out = map(Path, arguments)
        facts = {**json.loads(told.read_bytes()), "packages": packages}
        out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(packages + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
