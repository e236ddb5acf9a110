"""What an untrusted program may see and use: the options of its container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import ImageNotFound
from docker.types import LogConfig, Ulimit

from harness.errors import InputError

NOBODY = 65534  # owns nothing on this machine, whoever the caller is


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use; the defaults fit an evaluation of XLM-R Large on CPU."""

    memory_bytes: int = 8 << 30  # swap included; files in /output, /tmp and /dev/shm count
    cpus: float = 4  # at most as many as there are
    processes: int = 512  # threads count
    open_files: int = 4096  # of each process
    seconds: float = 6 * 3600  # wall time
    output_bytes: int = 512 << 20  # apparent size: holes count
    output_files: int = 4096  # folders count
    scratch_bytes: int = 512 << 20  # of /tmp, and of /dev/shm
    scratch_files: int = 16384  # of /tmp, and of /dev/shm
    log_bytes: int = 4 << 20  # of standard output, and of standard error


def sandbox_options(engine: docker.DockerClient, image: str, limits: Limits) -> dict[str, Any]:
    """Options for `engine.containers.create`; InputError: the image is missing or unfit.

    The engine's own seccomp and AppArmor profiles stay in force.
    """
    try:
        found = engine.images.get(image)
    except ImageNotFound as error:
        raise InputError(
            f"{image}: the engine has no such image; build it: xstilts image build"
        ) from error
    if volumes := found.attrs["Config"].get("Volumes"):
        raise InputError(
            f"{image}: declares volumes, which have no limit ({', '.join(volumes)}); "
            "use one without: xstilts image build"
        )
    scratch = (
        f"size={limits.scratch_bytes},nr_inodes={limits.scratch_files},"
        "mode=1777,noexec,nosuid,nodev"
    )
    return {
        "image": found.id,
        "user": f"{NOBODY}:{NOBODY}",
        "network_mode": "none",
        "dns": ["127.0.0.1"],  # else this machine's servers and search domains are in a file
        "dns_search": ["."],
        "use_config_proxy": False,  # the addresses of proxies hold passwords
        "read_only": True,
        "tmpfs": {"/tmp": scratch, "/dev/shm": scratch},
        "ipc_mode": "private",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "oom_score_adj": 1000,  # the first to go where the whole machine is short of memory
        "nano_cpus": int(min(limits.cpus, engine.info()["NCPU"]) * 1e9),
        "pids_limit": limits.processes,
        "ulimits": [
            Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "log_config": LogConfig(type="none"),  # else a flood fills this machine's disk
    }


def output_volume(limits: Limits) -> dict[str, str]:
    """Driver options of a local volume in memory, writable by the program, limited in size."""
    # One inode is the folder itself.
    room = f"size={limits.output_bytes},nr_inodes={limits.output_files + 1}"
    owner = f"uid={NOBODY},gid={NOBODY},mode=0700"
    return {"type": "tmpfs", "device": "tmpfs", "o": f"{room},{owner},noexec,nosuid,nodev"}
