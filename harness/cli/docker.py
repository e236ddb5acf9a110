"""`bench --docker`: when, in which image, and what happens in the container when we die."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli.options import all_of, load_catalog
from harness.containers import CLIENT_VARIABLE
from harness.errors import InputError, expand_home

# Set by `make bench`: in a container where an engine answers, on this machine where none does.
_AUTO_VARIABLE = "XSTILTS_DOCKER"

base_option = click.option(
    "--base",
    default="auto",
    show_default=True,
    help="Base image: pinned (docker/images.json), debian (made from Debian's packages), auto "
    "(pinned, else debian), or NAME@sha256:...",
)
docker_options = all_of(
    click.option(
        "--docker/--no-docker",
        "docker",
        default=None,
        help="Run in a container, or on this machine. [default: on this machine]",
    ),
    base_option,
    click.option("--image", help="Run in this image, not in the one of the checkout."),
    click.option(
        "--memory",
        metavar="SIZE",
        help="Memory of the container, such as 16g. [default: nine tenths of the machine's]",
    ),
    click.option(
        "--cpus",
        type=float,
        help="CPUs of the container, such as 1.5. [default: all]",
    ),
)
_NAMES = ("docker", "base", "image", "memory", "cpus")


def wants_docker(options: dict[str, Any]) -> bool:
    """Whether to run in a container.

    Without --docker or --no-docker a variable may ask for Docker where an engine answers; a line
    says so where none does.
    """
    wanted, asked = options["docker"], os.environ.get(_AUTO_VARIABLE) == "auto"
    if wanted or (wanted is None and asked and _engine_answers()):
        return True
    given = [name for name in _NAMES[1:] if options[name] not in (None, "auto")]
    if given and wanted is False:
        raise InputError(f"--{given[0]} is for containers, and --no-docker runs without one")
    if given and not asked:
        raise InputError(f"--{given[0]} is for containers: add --docker")
    return False


def bench_in_docker(
    context: click.Context, suite: str, options: dict[str, Any], *, quiet: bool
) -> int:
    """Run this very command in a container; its exit code."""
    from harness.cli.job import bench_job  # noqa: PLC0415  (the SDK takes a fifth of a second)
    from harness.containers.build import ensure_image, named_image  # noqa: PLC0415
    from harness.containers.engine import connect, passes_gpus  # noqa: PLC0415
    from harness.containers.images import checkout  # noqa: PLC0415
    from harness.containers.inputs import image_inputs  # noqa: PLC0415
    from harness.containers.run import run_job  # noqa: PLC0415
    from harness.results import gpu_names  # noqa: PLC0415

    if options["image"] is not None and options["base"] != "auto":
        raise InputError("--base is for an image that is built; --image names one that is there")
    catalog = load_catalog(options["catalog_folders"], hub=options["hub"])
    job = bench_job(context, catalog, suite, options, _NAMES)
    engine = connect()
    say = _quiet if quiet else notice
    here = None if options["device"] == "cpu" else gpu_names()
    gpu = here is not None and passes_gpus(engine)
    if here is not None and not gpu and options["device"] == "auto":
        notice(f"{here}: the engine does not pass it on (NVIDIA Container Toolkit); using the CPU")
    if options["device"].startswith("cuda") and not gpu:
        raise InputError(
            f"--device {options['device']}: the engine passes no GPU on; install the NVIDIA "
            "Container Toolkit, or run on this machine: --no-docker"
        )
    if options["image"] is not None:
        image = named_image(engine, options["image"])
    else:
        inputs = image_inputs(checkout(), "cuda" if gpu else "cpu")
        image = ensure_image(engine, inputs, options["base"], cache_folder(), say)
    if job.network:
        say("the container has a network, for the hub")
    return run_job(engine, image, replace(job, gpu=gpu), say)


def stop_with_client() -> None:
    """In a container: stop like Ctrl-C does, with checkpoints, when the client has died.

    The engine then closes our standard input, and nobody else would ever stop us.
    """

    def wait() -> None:
        while os.read(0, 1024):  # the client sends nothing
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.get(CLIENT_VARIABLE):
        threading.Thread(target=wait, daemon=True).start()


def cache_folder() -> Path:
    """Where wheels are kept between builds, and logs of builds."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expand_home(caches, "XDG_CACHE_HOME") / "xstilts"


def notice(text: str) -> None:
    """A line on stderr."""
    click.echo(f"xstilts: {text}", err=True)


def _quiet(_: str) -> None:
    """--quiet."""


def _engine_answers() -> bool:
    from harness.containers.engine import EngineUnreachable, connect  # noqa: PLC0415

    try:
        connect()
    except EngineUnreachable as error:
        notice(f"no container: {error.problem}; running on this machine, and the records say so")
        return False
    return True
