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

from harness.catalog import Backbone, Catalog, backbone_from_argument
from harness.cli.options import check_folder
from harness.cli.progress import TERMINAL_VARIABLE, on_terminal
from harness.containers.run import Job
from harness.errors import InputError
from harness.machine import total_memory

_MEMORY_SHARE = 0.9  # of the machine's memory, by default; the rest keeps the machine usable
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TRUE = ("1", "on", "yes", "true")  # as huggingface_hub reads HF_HUB_OFFLINE
# Of the caller's environment the container gets these, the second group only with a network.
_PASSED = ("NO_COLOR", "HF_HUB_OFFLINE")
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
    hub = options["hub"] or any(one.kind == "hub" for one in backbones)
    network = hub and os.environ.get("HF_HUB_OFFLINE", "").lower() not in _TRUE
    out = options["out"] or Path("results") / suite
    writable = [out, options["store"] or out / "store"]
    readable = [*options["catalog_folders"], *_folders(backbones)]
    if options["data_folder"] is not None:
        check_folder(options["data_folder"])
        readable.append(options["data_folder"])
    environment = _environment(network=network)
    if hub:
        cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser().absolute()
        environment["HF_HOME"] = str(cache)
        writable.append(cache)
    return Job(
        arguments=["bench", *_arguments(context, left_out)],
        folder=Path.cwd(),
        readable=[Path(os.path.abspath(path)) for path in readable],
        writable=[Path(os.path.abspath(path)) for path in writable],
        network=network,
        memory_bytes=_memory(options["memory"]),
        cpus=options["cpus"],
        environment=environment,
    )


def _backbones(catalog: Catalog, suite: str, named: str | None) -> list[Backbone]:
    if named is None:
        return [catalog.backbone(name) for name in catalog.suite(suite).backbones]
    return [catalog.backbones.get(named) or backbone_from_argument(named)]


def _folders(backbones: list[Backbone]) -> Iterator[Path]:
    for backbone in backbones:
        if backbone.kind == "folder":
            folder = Path(str(backbone.path)).expanduser()
            if not folder.is_dir():
                raise InputError(f"backbone '{backbone.name}': {folder} is not a folder")
            yield folder


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
                yield f"{parameter.opts[0]}={one}"


def _environment(*, network: bool) -> dict[str, str]:
    names = _PASSED + (_PASSED_WITH_NETWORK if network else ())
    environment = {name: os.environ[name] for name in names if name in os.environ}
    if on_terminal():
        environment[TERMINAL_VARIABLE] = "1"
        environment["COLUMNS"] = str(shutil.get_terminal_size().columns)
    return environment


def _memory(text: str | None) -> int:
    if text is None:
        return round(total_memory() * _MEMORY_SHARE)
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--memory: '{text}'; write a size such as 16g or 800m")
    return round(float(match[1]) * _UNITS[match[2].lower()])
