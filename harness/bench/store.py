"""The content-keyed store: one rename makes an artifact visible, reading verifies its hashes."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.canonical import canonical_json, digest, file_digest

_MANIFEST = "manifest.json"
_Stamp = tuple[tuple[str, int, int, int], ...]
# Artifacts that this process has hashed: an unchanged one is not hashed again.
_VERIFIED: dict[Path, _Stamp] = {}
log = logging.getLogger(__name__)


class Store:
    """Artifacts by kind and key under one folder; safe for several processes on one machine.

    Layout: `<kind>/<key>/` finished artifacts, `work/` checkpoints and unfinished ones, `locks/`,
    `damaged/` what failed verification.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folders; OSError where the place cannot be written."""
        for name in ("work", "locks"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def path(self, kind: str, key: str) -> Path:
        """Where an artifact is or will be."""
        return self.root / kind / key

    def work_folder(self, kind: str, key: str) -> Path:
        """Where the checkpoints of an unfinished artifact are."""
        return self.root / "work" / f"{kind}-{key}"

    def has(self, kind: str, key: str) -> bool:
        """Whether the artifact is there and its files all match their hashes; changes nothing."""
        return self._problem(kind, key) is None

    def get(self, kind: str, key: str, *, locked: bool = False) -> Path | None:
        """The folder of a finished artifact whose files all match their hashes, else None.

        A damaged one is set aside with a warning, so that it will be made again; `locked` says that
        the caller holds its lock.
        """
        folder = self.path(kind, key)
        if self._problem(kind, key) is None:
            return folder
        if not os.path.lexists(folder):
            return None
        if locked:
            return self._set_aside_unless_whole(kind, key)
        with self.lock(kind, key, wait=False) as mine:
            # Whoever else has the lock is making it anew.
            return self._set_aside_unless_whole(kind, key) if mine else None

    def tidy(self, kind: str, key: str) -> None:
        """Drop the checkpoints of a finished artifact: a kill may have come before `put` did."""
        shutil.rmtree(self.work_folder(kind, key), ignore_errors=True)

    @contextmanager
    def lock(self, kind: str, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold the step's lock; yields False at once if `wait` is off and another process has it.

        The kernel drops the lock when its holder dies, however it dies.
        """
        path = self.root / "locks" / f"{kind}-{key}"
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def put(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """Build an artifact in a temporary folder, show it by one rename; needs the lock."""
        final = self.path(kind, key)
        partial = self._partial(kind, key)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            build(partial)
            _share(partial)
            _write_manifest(partial, kind, key)
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _sync(final.parent)
        self.tidy(kind, key)
        return final

    def drop_unfinished(self, kind: str, key: str) -> None:
        """Clear what a killed build left, unless another process is building it just now."""
        with suppress(OSError), self.lock(kind, key, wait=False) as mine:
            if mine:
                shutil.rmtree(self._partial(kind, key), ignore_errors=True)

    def _partial(self, kind: str, key: str) -> Path:
        return self.root / "work" / f"partial-{kind}-{key}"

    def _problem(self, kind: str, key: str) -> str | None:
        folder = self.path(kind, key)
        stamp = _stamp(folder)
        if stamp and _VERIFIED.get(folder) == stamp:
            return None
        problem = verify_artifact(folder, (kind, key))
        if problem is None:
            _VERIFIED[folder] = stamp
        return problem

    def _set_aside_unless_whole(self, kind: str, key: str) -> Path | None:
        """Under the lock, where what was damaged before may have been made anew meanwhile."""
        folder = self.path(kind, key)
        problem = self._problem(kind, key)
        if problem is None:
            return folder
        if os.path.lexists(folder):
            aside = self.root / "damaged" / f"{kind}-{key}-{time.time_ns()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(aside)
            log.warning(
                "store: %s %s is damaged (%s); it is set aside and made again",
                kind,
                key[:12],
                problem,
            )
        return None


def artifact_id(folder: Path) -> tuple[str, str] | None:
    """(kind, key) as an artifact's manifest has them, None if it has no readable one."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        return str(manifest["kind"]), str(manifest["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verify_artifact(folder: Path, named: tuple[str, str] | None = None) -> str | None:
    """None if the artifact is whole, else what is wrong with it.

    `named` is the (kind, key) that it must have in a store; a copy may lie anywhere under any name.
    """
    try:
        raw = (folder / _MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(raw)
        files: dict[str, str] = manifest["files"]
        # The manifest vouches for the files; its own digest and exact bytes vouch for it.
        body = {name: manifest[name] for name in ("kind", "key", "files")}
        if raw != canonical_json(manifest) or manifest["digest"] != digest(body):
            return "its manifest was changed"
        if named not in (None, (body["kind"], body["key"])):
            return f"it is {body['kind']} {body['key'][:12]} by its manifest"
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest is missing or unreadable"
    present = {str(path.relative_to(folder)) for path in _entries(folder)}
    for name in sorted(set(files) - present):
        return f"{name} is missing"
    for name in sorted(present - set(files) - {_MANIFEST}):
        return f"{name} does not belong to it"
    for name, expected in sorted(files.items()):
        try:
            found = file_digest(folder / name)
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        if found != expected:
            return f"{name} does not match its hash"
    return None


def _entries(folder: Path) -> list[Path]:
    """Everything below a folder that is no folder itself, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _share(folder: Path) -> None:
    """Give files the permissions of a new file here: safetensors writes for the owner alone."""
    mode = folder.stat().st_mode & 0o666
    for path in _entries(folder):
        if not path.is_symlink():
            path.chmod(mode)


def _write_manifest(folder: Path, kind: str, key: str) -> None:
    files = {}
    for path in _entries(folder):
        files[str(path.relative_to(folder))] = file_digest(path)
        _sync(path)
    body = {"kind": kind, "key": key, "files": files}
    (folder / _MANIFEST).write_bytes(canonical_json({**body, "digest": digest(body)}))
    _sync(folder / _MANIFEST)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(folder: Path) -> _Stamp:
    """What changes whenever a file does: the kernel sets the time of change, no program can."""
    found = [(str(path.relative_to(folder)), path.lstat()) for path in _entries(folder)]
    return tuple((name, stat.st_ino, stat.st_size, stat.st_ctime_ns) for name, stat in found)
