"""What a bench in a container may see and use of this machine, from the options of `bench`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.catalog import Backbone, Catalog, ExternalAdapter, Source, backbone_from_argument
from harness.cli.options import check_folder
from harness.cli.progress import TERMINAL_VARIABLE, on_terminal, size
from harness.containers.run import Job
from harness.data import owners
from harness.errors import InputError, expand_home
from harness.machine import total_memory

_MEMORY_SHARE = 0.9  # of the machine's memory, by default; the rest keeps the machine usable
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LEAST_MEMORY = 64 << 20  # with less PyTorch does not even start
_LEAST_CPUS = 0.01  # the engine's
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = ("1", "on", "yes", "true")  # as huggingface_hub reads them
# Where the image has, or the engine mounts, folders of its own.
_TAKEN = (
    "/", "/bin", "/etc", "/lib", "/lib64", "/sbin", "/tmp", "/usr", "/usr/bin", "/usr/lib",
    "/usr/local", "/usr/local/bin", "/usr/local/lib",
)  # fmt: skip
_TAKEN_WHOLLY = ("/dev", "/proc", "/sys", "/xstilts")
# Of the caller's environment the container gets these, the second group only with a network.
_PASSED = ("NO_COLOR", *_OFFLINE)
_PASSED_WITH_NETWORK = (
    "HF_ENDPOINT", "HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


def bench_job(
    context: click.Context,
    catalog: Catalog,
    suite: str,
    options: dict[str, Any],
    left_out: tuple[str, ...],
) -> Job:
    """The command of `context`, without the options `left_out`, as a job for a container."""
    backbones = _backbones(catalog, suite, options["backbone"])
    adapters = _adapters(catalog, suite)
    hub = options["hub"] or any(one.kind == "hub" for one in backbones)
    hub = hub or any(one.hub for _, one in adapters)
    network = hub and not any(os.environ.get(name, "").lower() in _TRUE for name in _OFFLINE)
    out = options["out"] or Path("results") / suite
    writable = [out, options["store"] or out / "store"]
    readable = [*options["catalog_folders"], *_folders(backbones, options["backbone"])]
    readable += _adapter_folders(adapters)
    if options["data_folder"] is not None:
        check_folder(options["data_folder"])
        readable.append(options["data_folder"])
    environment = _environment(network=network)
    if hub:
        caches = _hub_caches()
        environment |= {name: str(folder) for name, folder in caches.items()}
        writable += caches.values()
    seen, taken = (list(dict.fromkeys(map(_place, paths))) for paths in (readable, writable))
    for folder in taken:
        if folder in seen:
            raise InputError(f"{folder}: is read and written to; choose another --out or --store")
    return Job(
        arguments=["bench", *_arguments(context, left_out)],
        folder=_working_folder(),
        readable=seen,
        writable=taken,
        network=network,
        memory_bytes=_memory(options["memory"]),
        cpus=_cpus(options["cpus"]),
        environment=environment,
    )


def _backbones(catalog: Catalog, suite: str, named: str | None) -> list[Backbone]:
    if named is None:
        return [catalog.backbone(name) for name in catalog.suite(suite).backbones]
    return [catalog.backbones.get(named) or backbone_from_argument(named)]


def _folders(backbones: list[Backbone], named: str | None) -> Iterator[Path]:
    """Backbone folders, as named too, and what links in them lead to (the hub's cache has such)."""
    for backbone in backbones:
        if backbone.kind != "folder":
            continue
        folder = expand_home(str(backbone.path), f"backbone '{backbone.name}': path")
        if not folder.is_dir():
            raise InputError(f"backbone '{backbone.name}': {folder} is not a folder")
        yield folder
        if named is not None and Path(named).is_dir():
            yield Path(named)
        for path in folder.rglob("*"):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                yield path.resolve()


def _adapters(catalog: Catalog, suite: str) -> list[tuple[str, ExternalAdapter]]:
    """The sources of the suite that are adapters from elsewhere."""
    sources = [one for one in owners(catalog, [catalog.suite(suite)]) if isinstance(one, Source)]
    return [(one.name, one.adapter) for one in sources if one.adapter is not None]


def _adapter_folders(adapters: list[tuple[str, ExternalAdapter]]) -> Iterator[Path]:
    """Their local folders, and what links in these lead to."""
    for name, adapter in adapters:
        if adapter.folder is None:
            continue
        folder = Path(adapter.folder)
        if not folder.is_dir():
            raise InputError(f"source '{name}': {folder} is not a folder; correct `adapter:`")
        yield folder
        for path in folder.iterdir():
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                yield path.resolve()


def _hub_caches() -> dict[str, Path]:
    """Where the hub's library keeps its files, by the variables that name the folders to it."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = expand_home(os.environ.get("HF_HOME") or caches / "huggingface", "HF_HOME").absolute()
    models = expand_home(os.environ.get("HF_HUB_CACHE") or home / "hub", "HF_HUB_CACHE").absolute()
    return {"HF_HOME": home, "HF_HUB_CACHE": models}


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the working folder is gone; cd to another one") from error


def _place(path: Path) -> Path:
    """The absolute path, which is the same inside; InputError where it cannot be."""
    _working_folder()
    place = Path(os.path.abspath(path))
    other = "choose another folder, or --no-docker"
    if "\udc80" <= max(str(place)) <= "\udcff":
        raise InputError(f"{str(place)!a}: is not UTF-8, which engines ask for; {other}")
    if os.path.realpath(path) != os.path.realpath(place):
        raise InputError(f"{path}: write it without '..' after a link")
    if str(place) in _TAKEN or any(place.is_relative_to(root) for root in _TAKEN_WHOLLY):
        raise InputError(f"{place}: the container has a folder of its own there; {other}")
    return place


def _arguments(context: click.Context, left_out: tuple[str, ...]) -> Iterator[str]:
    """What stood on the command line, as one argument each."""
    for parameter in context.command.params:
        name = str(parameter.name)
        if (
            name in left_out
            or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE
        ):
            continue
        value = context.params[name]
        if isinstance(parameter, click.Argument):
            yield str(value)
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            yield (parameter.opts if value else parameter.secondary_opts)[0]
        else:
            for one in value if parameter.multiple else [value]:
                # `a/../b` would need a folder `a` inside.
                text = os.path.normpath(one) if isinstance(one, Path) else one
                yield f"{parameter.opts[0]}={text}"


def _environment(*, network: bool) -> dict[str, str]:
    names = _PASSED + (_PASSED_WITH_NETWORK if network else ())
    environment = {name: os.environ[name] for name in names if name in os.environ}
    if on_terminal():
        environment[TERMINAL_VARIABLE] = "1"
        environment["COLUMNS"] = str(shutil.get_terminal_size().columns)
    return environment


def _memory(text: str | None) -> int:
    machine = total_memory()
    if text is None:
        return round(machine * _MEMORY_SHARE)
    match = _SIZE.fullmatch(text.strip())
    wanted = round(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if not _LEAST_MEMORY <= wanted <= machine:
        raise InputError(
            f"--memory: '{text}'; write a size such as 16g or 800m, from {size(_LEAST_MEMORY)} to "
            f"the machine's {size(machine)}"
        )
    return wanted


def _cpus(number: float | None) -> float | None:
    most = os.cpu_count() or 1
    if number is not None and not _LEAST_CPUS <= number <= most:
        raise InputError(f"--cpus: {number:g}; from {_LEAST_CPUS:g} to the machine's {most}")
    return number
