"""Folders of this machine that a sandbox reads, and the one that its output appears as."""

from __future__ import annotations

import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from docker.types import Mount

from harness.errors import InputError, WorkError, reading


def readable_mounts(readable: Mapping[str, Path]) -> list[Mount]:
    """Read-only mounts, container path to host path, without what is mounted below the latter.

    InputError: a path is missing, or something in it may be read by its owner only.
    """
    mounts = []
    for target, place in readable.items():
        with reading(place):
            source = place.resolve(strict=True)
            _check_readable(source)
        mount = Mount(target, str(source), type="bind", read_only=True, propagation="rprivate")
        # A mount below would stay writable: read-only does not reach it.
        mount["BindOptions"]["NonRecursive"] = True
        mounts.append(mount)
    return mounts


@contextmanager
def appearing(output: Path) -> Iterator[Path]:
    """A new folder beside `output`, to be renamed to it; removed where that does not happen.

    InputError: `output` is there and not an empty folder. WorkError: no place to write.
    """
    with reading(output):
        if output.exists() and not (output.is_dir() and not any(output.iterdir())):
            raise InputError(f"{output}: is not empty; choose another folder for the output")
    partial = output.with_name(f".{output.name}.{secrets.token_hex(4)}.partial")
    with writing(output):
        partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """An OSError here is work that failed: the disk is full, or the folder may not be written."""
    try:
        yield
    except TimeoutError:  # of what is read meanwhile, not of the disk
        raise
    except OSError as error:
        raise WorkError(
            f"{output}: cannot be written: {error.strerror or error}; "
            "check the folder and free space"
        ) from error


def _check_readable(source: Path) -> None:
    """Mounted itself, it needs no permission on its parents."""
    for place in (source, *source.rglob("*")):
        mode = place.lstat().st_mode
        needed = stat.S_IROTH | stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
        if not stat.S_ISLNK(mode) and mode & needed != needed:
            raise InputError(
                f"{place}: only its owner may read it, not the user in the container; "
                f"chmod -R o+rX {source}"
            )
