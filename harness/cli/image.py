"""`xstilts image build|check`: the image that `xstilts bench --docker` runs in."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import docker

from harness.cli.checks import Check, report
from harness.cli.docker import base_option, cache_folder, notice
from harness.cli.progress import size
from harness.containers.base import resolve_base
from harness.containers.build import (
    built_image,
    describe,
    ensure_image,
    in_cache,
    packages,
)
from harness.containers.engine import connect, passes_gpus
from harness.containers.images import checkout
from harness.containers.inputs import Inputs, image_inputs, write_context
from harness.containers.wheelhouse import fill_wheelhouse
from harness.errors import WorkError, XstiltsError

variant_option = click.option(
    "--variant",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Without CUDA, or with it.",
)


@click.group()
def command() -> None:
    """The image that `xstilts bench --docker` runs in, built from this checkout."""


@command.command("build")
@variant_option
@base_option
@click.option(
    "--context",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only write the build context, a tar for `docker build - < FILE`, to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON.")
def build(variant: str, base: str, context: Path | None, as_json: bool) -> None:
    """Build the image, unless it is there already.

    Packages are downloaded with pip's own configuration and checked against the lock; the build
    itself has no network.
    """
    engine = connect()
    inputs = image_inputs(checkout(), variant)
    if context is not None:
        written = _write_context(engine, inputs, base, context)
        line = (
            f"docker build --network none --build-arg BASE_IMAGE={written['base']} -t NAME "
            f"- < {shlex.quote(written['context'])}"
        )
        click.echo(json.dumps(written, indent=2) if as_json else line)
        return
    image = ensure_image(engine, inputs, base, cache_folder(), notice)
    facts = describe(engine, image)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        made_on = facts["base"]
        click.echo(f"{facts['name']} ({size(facts['bytes'])})\n{facts['digest']}")
        click.echo(f"on {made_on['name']} ({made_on['kind']}, {made_on['digest']})")


def _write_context(
    engine: docker.DockerClient, inputs: Inputs, base: str, out: Path
) -> dict[str, str]:
    cache = cache_folder()
    chosen = resolve_base(engine, inputs.spec.base, base, notice)
    with in_cache(cache):
        wheels = fill_wheelhouse(inputs.spec.lock, cache / "wheels", notice)
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("wb") as file:
            write_context(inputs, chosen, wheels, file)
        partial.rename(out)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WorkError(f"--context: {out}: {reason}; name another file") from error
    finally:
        with suppress(OSError):  # it has become the file, or its folder is not there
            partial.unlink()
    return {"context": str(out), "base": chosen.reference, "base_digest": chosen.digest}


@command.command("check")
@variant_option
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def check(variant: str, as_json: bool) -> None:
    """Check engine, lock and image: is it built from this checkout, are its packages as built?

    Exit code 1 if a check fails.
    """
    report(list(_checks(variant)), as_json=as_json)


def _checks(variant: str) -> Iterator[Check]:
    """Each check needs those before it: the first that fails is the last."""
    try:
        engine = connect()
        yield Check("engine", "ok", engine.version()["Version"])
        gpu = "passed on to containers" if passes_gpus(engine) else "none passed on"
        yield Check("gpu", "ok", gpu)
        inputs = image_inputs(checkout(), variant)
        lock = f"{inputs.spec.lock.name} fits pyproject.toml ({inputs.lock_digest})"
        yield Check("lock", "ok", lock)
        if inputs.spec.built is None:
            yield Check("variant", "warn", f"{variant} has been built nowhere yet")
        image = built_image(engine, inputs, "auto")
        if image is None:
            remedy = f"run xstilts image build --variant {variant}"
            yield Check("image", "fail", "none is built from this checkout as it is", remedy)
            return
        facts = describe(engine, image)
        yield Check("image", "ok", f"{facts['name']} {image} ({size(facts['bytes'])})")
        base = facts["base"]
        yield Check("base", "ok", f"{base['name']} ({base['kind']}, {base['digest']})")
        told, found = packages(engine, image)
        if told == found:
            yield Check("packages", "ok", f"as built ({found})")
        else:
            remedy = f"docker image rm --force {image}, then xstilts image build"
            yield Check("packages", "fail", f"{found}, built as {told}", remedy)
    except XstiltsError as error:
        yield Check("stopped", "fail", str(error))
