"""What an untrusted program may see and use: the options of its container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import docker
from docker.types import LogConfig, Ulimit

from harness.containers.engine import find_image
from harness.errors import InputError, WorkError

NOBODY = 65534  # nobody's id by convention, whoever the caller is
# What `docker info` says it can limit, and what that is.
_CONTROLS = {
    "MemoryLimit": "memory",
    "SwapLimit": "swap",
    "PidsLimit": "processes",
    "CpuCfsQuota": "CPUs",
}


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

    def __post_init__(self) -> None:
        for limit in fields(self):
            # To the engine and to tmpfs 0 means no limit at all.
            if not getattr(self, limit.name) > 0:
                raise InputError(f"limit {limit.name}: {getattr(self, limit.name)}; more than 0")


def sandbox_options(engine: docker.DockerClient, image: str, limits: Limits) -> dict[str, Any]:
    """Options for `engine.containers.create`; InputError: the image is missing or unfit.

    The engine's own seccomp and AppArmor profiles stay in force.
    """
    found = find_image(engine, image)
    if found is None:
        raise InputError(f"{image}: the engine has no such image; build it: xstilts image build")
    info = engine.info()
    _check_engine(info)
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
        "nano_cpus": int(min(limits.cpus, info["NCPU"]) * 1e9),
        "pids_limit": limits.processes,
        "ulimits": [
            Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "log_config": LogConfig(type="none"),  # else a flood fills this machine's disk
    }


def _check_engine(info: Mapping[str, Any]) -> None:
    """WorkError where the engine would run the program with less than the profile says.

    An engine leaves out a limit that it cannot set, and says so in a warning alone.
    """
    lacking = [name for key, name in _CONTROLS.items() if not info.get(key)]
    if lacking:
        raise WorkError(
            f"sandbox: this engine cannot limit {', '.join(lacking)}; give it these cgroup "
            "controllers (docker info names what it lacks)"
        )
    security = info.get("SecurityOptions") or []
    if not any("name=seccomp" in one and "unconfined" not in one for one in security):
        raise WorkError("sandbox: this engine uses no seccomp profile; start it with its own")


def output_volume(limits: Limits) -> dict[str, str]:
    """Driver options of a local volume in memory, writable by the program, limited in size."""
    # One inode is the folder itself.
    room = f"size={limits.output_bytes},nr_inodes={limits.output_files + 1}"
    owner = f"uid={NOBODY},gid={NOBODY},mode=0700"
    return {"type": "tmpfs", "device": "tmpfs", "o": f"{room},{owner},noexec,nosuid,nodev"}
