"""What an untrusted program left in its output folder: taken from a tar stream, within limits."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.containers.attached import STDOUT

_DEPTH = 16  # folders in each other
_PATH_BYTES = 512
_COMPLAINTS = 4096  # bytes of tar's messages that are kept
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


class RefusedOutput(Exception):
    """The output is not taken, and why."""


class TarOutput(io.RawIOBase):
    """Standard output of a `tar` in a container as a file, and what it complains of."""

    def __init__(self, frames: Iterator[tuple[int, bytes]]) -> None:
        self._frames = frames
        self._complaints = b""

    @property
    def complaint(self) -> str:
        """The first line of what tar complains of, or nothing."""
        return self._complaints.decode(errors="replace").partition("\n")[0]

    def read(self, _size: int = -1) -> bytes:
        """The next piece, of any length; b"" at the end (all that tarfile's streams ask for)."""
        for stream, piece in self._frames:
            if stream == STDOUT:
                return piece
            self._complaints = (self._complaints + piece)[:_COMPLAINTS]
        return b""


def unpack(source: TarOutput, folder: Path, max_bytes: int, max_files: int) -> None:
    """Write the stream's regular files and folders into `folder`, which is empty.

    RefusedOutput: anything else is in it, or more than allowed. OSError: it cannot be written.
    """
    files = size = 0
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8") as tar:
        for entry in tar:
            path = _checked_path(entry)
            if not path.parts:  # the output folder itself
                continue
            files += 1
            size += entry.size
            # Sizes are apparent ones, known before the content comes: holes count.
            if files > max_files:
                raise RefusedOutput(f"more than {max_files:,} files and folders")
            if size > max_bytes:
                raise RefusedOutput(f"{entry.name!r}: beyond {max_bytes:,} bytes in all")
            _write(tar, entry, folder / path)
    while source.read(0):  # the padding
        pass


def _checked_path(entry: tarfile.TarInfo) -> PurePosixPath:
    name = repr(entry.name)
    if len(entry.name.encode(errors="surrogateescape")) > _PATH_BYTES:
        raise RefusedOutput(f"{name[:80]}...: a path of more than {_PATH_BYTES} bytes")
    # Surrogates stand for bytes that are not UTF-8; they are not printable either.
    if not entry.name.isprintable():
        raise RefusedOutput(f"{name}: a name that is not printable UTF-8")
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts:
        raise RefusedOutput(f"{name}: outside the output folder")
    if len(path.parts) > _DEPTH:
        raise RefusedOutput(f"{name}: more than {_DEPTH} folders deep")
    if not entry.isdir() and (not entry.isreg() or entry.issparse()):
        kind = _KINDS.get(entry.type, "a special file")
        raise RefusedOutput(f"{name}: {kind}; only files and folders are taken")
    return path


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    """Owner, mode and times are ours: nothing of the entry but its path and content counts."""
    try:
        if entry.isdir():
            target.mkdir()
            return
        content = tar.extractfile(entry)
        assert content is not None  # it is a regular file
        with target.open("xb") as sink:
            shutil.copyfileobj(content, sink)
    except FileExistsError as error:
        raise RefusedOutput(f"{entry.name!r}: there twice") from error
