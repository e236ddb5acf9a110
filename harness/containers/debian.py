"""A base image made from Debian's packages, for machines that cannot pull the pinned one.

debootstrap unpacks the packages, their normalised tar becomes the image's only layer: the layer's
digest is the tar's SHA-256, and the same packages give the same digest.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker

from harness.canonical import file_digest
from harness.containers.engine import engine_errors
from harness.containers.images import Base
from harness.containers.tarball import write_tar
from harness.errors import WorkError

_REPOSITORY = "xstilts-base"
_SUITE = "bookworm"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ROOM = 400_000_000  # bytes: the unpacked packages and the tar
_MAKING = "making a base from Debian's packages"
_OR = "or run on this machine: xstilts bench --no-docker"

# What the image goes without: what the engine mounts, what came from this machine (its name, its
# name servers, its mirror), caches, logs, backups, and texts for people but the licences.
_LEFT_OUT = re.compile(
    r"(dev|proc|run|sys|tmp)/.*"
    r"|etc/(hostname|resolv\.conf|apt/sources\.list|[a-z]+-)"
    r"|var/(log|cache/apt|cache/ldconfig|lib/apt/lists)/.*"
    r"|var/(cache/debconf|lib/dpkg)/[a-z.]+-old"
    r"|usr/share/(bug|info|lintian|locale|man)/.*"
    r"|usr/share/doc/[^/]+/(?!copyright$).*"
)


def debian_base(engine: docker.DockerClient, say: Callable[[str], None]) -> Base:
    """The newest such image that the engine has, else one made now (about a minute, needs root).

    WorkError: the image found is not what its tag says, or none can be made.
    """
    with engine_errors("looking for a base from Debian's packages"):
        found = engine.images.list(name=f"{_REPOSITORY}:{_SUITE}-*")
    if found:
        return _checked(max(found, key=lambda image: str(image.attrs["Created"])))
    return make_debian_base(engine, say)


def make_debian_base(engine: docker.DockerClient, say: Callable[[str], None]) -> Base:
    """Make the image from the packages that the mirror has now.

    WorkError: no root, no debootstrap, no keyring of Debian's, or debootstrap failed.
    """
    _check_tools()
    mirror = _mirror()
    try:
        with tempfile.TemporaryDirectory(prefix="xstilts-base-") as temporary:
            _check_place(temporary)
            where = (urlsplit(mirror).hostname or mirror) if mirror else "debootstrap's mirror"
            say(f"{_MAKING} ({where}); this takes about a minute")
            root, tar = Path(temporary, "root"), Path(temporary, "base.tar")
            _debootstrap(root, mirror)
            version = _normalise(root, tar)
            return _imported(engine, tar, f"Debian {version} ({_SUITE}, minbase, python3)")
    except OSError as error:
        raise WorkError(f"{_MAKING}: {error}; TMPDIR names another place, {_OR}") from error


def _check_tools() -> None:
    if os.geteuid() != 0:
        xstilts = Path(sys.executable).with_name("xstilts")
        raise WorkError(
            f"{_MAKING} needs root, once: sudo {xstilts} image build --base debian, {_OR}"
        )
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux")):
        if shutil.which(program, path=_path()) is None:
            raise WorkError(f"{_MAKING} needs {program}: apt-get install {package}, {_OR}")
    if not _KEYRING.is_file():
        raise WorkError(
            f"{_KEYRING}: missing, and Debian's packages cannot be checked without it; "
            f"apt-get install debian-archive-keyring, {_OR}"
        )


def _check_place(folder: str) -> None:
    place = os.statvfs(folder)
    if place.f_flag & (os.ST_NOEXEC | os.ST_NODEV):
        what = "it is mounted noexec or nodev"
    elif place.f_bavail * place.f_frsize < _ROOM:
        what = (
            f"{_ROOM // 10**6} MB are needed, {place.f_bavail * place.f_frsize // 10**6} are free"
        )
    else:
        return
    raise WorkError(f"{_MAKING} in {folder}: {what}; TMPDIR names another place, {_OR}")


def _path() -> str:
    """PATH with the folders of system programs, which `su` leaves out and debootstrap needs."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _mirror() -> str | None:
    """Where this machine's apt gets Debian from, if it is one whose lists are here."""
    fields = ["Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main"]
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *fields]
    if shutil.which("apt-get") is None:
        return None
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    known = [line for line in run.stdout.splitlines() if line.startswith(("http", "file:"))]
    return known[0] if known else None  # then debootstrap takes Debian's own


def _debootstrap(root: Path, mirror: str | None) -> None:
    """Unpack minbase and python3 into `root`; WorkError with the last thing debootstrap said.

    It runs in namespaces of its own: what it mounts is never seen from outside, so that removing
    `root` cannot reach into /proc or /sys, and killing it leaves none of its processes.
    """
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "debootstrap"]
    command += ["--force-check-gpg", f"--keyring={_KEYRING}", "--variant=minbase"]
    command += ["--include=python3", _SUITE, str(root), *([mirror] if mirror else [])]
    # Of the user's environment only the proxies: the rest must not get into the image.
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    with subprocess.Popen(
        command,
        env={**proxies, "PATH": _path(), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            process.communicate()  # ends when the last of its processes has let go of the pipe
            raise
    if process.returncode != 0:
        raise WorkError(f"{_MAKING}: debootstrap: {_reason(output)}; put it right, {_OR}")


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    said = [line for line in lines if line.startswith("E: ")] or lines
    return re.sub(r"//[^/@]*@", "//", said[-1])  # no password of a mirror in messages


def _normalise(root: Path, tar: Path) -> str:
    """Write the layer's tar; returns Debian's version (12.9)."""
    (release,) = root.glob(f"var/lib/apt/lists/*_dists_{_SUITE}_Release")
    fields = email.message_from_string(release.read_text(encoding="utf-8"))
    # Everything in the packages is older than the release; the rest was written just now. Python's
    # compiled modules name their sources' times, so those of packages must stay.
    newest = int(parsedate_to_datetime(fields["Date"]).timestamp())
    shadow = root / "etc/shadow"
    changed = re.sub(r"(?m)^([^:]*:[^:]*):\d+:", rf"\1:{newest // 86400}:", shadow.read_text())
    shadow.write_text(changed)
    write_tar(root, tar, newest, lambda name: not _LEFT_OUT.fullmatch(name))
    return str(fields["Version"])


def _imported(engine: docker.DockerClient, tar: Path, name: str) -> Base:
    tag = f"{_SUITE}-{file_digest(tar)[:12]}"
    labels = f'LABEL org.xstilts.base.kind=debian org.xstilts.base.name="{name}"'
    with engine_errors("importing the base from Debian's packages"):
        engine.api.import_image_from_file(str(tar), _REPOSITORY, tag, changes=[labels])
        return _checked(engine.images.get(f"{_REPOSITORY}:{tag}"))


def _checked(image: Any) -> Base:
    """The image as a base, if its one layer has the digest that its tag begins with."""
    tags = [tag for tag in image.tags if tag.startswith(f"{_REPOSITORY}:{_SUITE}-")]
    layers = image.attrs["RootFS"]["Layers"]
    for tag in tags:
        if len(layers) != 1 or layers[0][7:19] != tag.rpartition("-")[2]:
            raise WorkError(
                f"{tag}: its content ({', '.join(layers)}) is not what its tag says; "
                f"remove it (docker rmi {tag}) and another is made"
            )
    name = image.labels.get("org.xstilts.base.name", "Debian")
    return Base("debian", name, tags[0], layers[0])
