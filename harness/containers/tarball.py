"""A folder as a tar that depends on nothing but what is in it: equal trees give equal bytes."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path


def write_tar(root: Path, tar: Path, newest: int, keep: Callable[[str], bool]) -> None:
    """Write what is in `root` to `tar`: sorted, owners as numbers, no time after `newest` (epoch).

    `keep` gets each path in `root`; below a folder that is left out nothing is asked. Devices,
    pipes, sockets and extended attributes are left out.
    """
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in _names(root, "", keep):
            info = archive.gettarinfo(root / name, arcname=name)
            info.uname = info.gname = ""
            info.mtime = min(int(info.mtime), newest)
            if info.isreg():
                with (root / name).open("rb") as content:
                    archive.addfile(info, content)
            else:
                archive.addfile(info)


def _names(root: Path, folder: str, keep: Callable[[str], bool]) -> Iterator[str]:
    """Paths in `root`, each folder before what is in it; links are not followed."""
    for entry in sorted(os.scandir(root / folder), key=lambda entry: entry.name):
        name = f"{folder}{entry.name}"
        is_folder = entry.is_dir(follow_symlinks=False)
        if not (is_folder or entry.is_symlink() or entry.is_file()) or not keep(name):
            continue
        yield name
        if is_folder:
            yield from _names(root, f"{name}/", keep)
