"""What the user named and cannot be read is wrong input: one line that says so, exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_data import arguments, own
from tests.nano import NANO
from tests.permissions import forbidden

__all__ = ["own"]  # a fixture
CPU = ("--device", "cpu", "--workers", "0")


def refused(outcome: Any, path: Path) -> None:
    """One line of the path and what is the matter with it, nothing else."""
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert str(path) in outcome.err
    assert "cannot be read" in outcome.err
    assert "ermission denied" in outcome.err
    assert "may write" not in outcome.err


@pytest.mark.parametrize("command", ["bench", "plan"])
@pytest.mark.parametrize("place", ["data", "data/own", "data/own/test-sw.tsv"])
def test_data(
    own: Path, xstilts: Callable[..., Any], tmp_path: Path, command: str, place: str
) -> None:
    options = arguments(own, command)[2:]
    backbone = Path(shutil.copytree(NANO, tmp_path / "backbone"))
    (backbone / "world.json").unlink()
    with forbidden(own / place):
        done = xstilts(
            command, "only", *options[2:], "--backbone", backbone, "--out", tmp_path / "out", *CPU
        )
    refused(done, own / place)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["data", "data/own"])
def test_a_folder_of_a_pattern(own: Path, xstilts: Callable[..., Any], place: str) -> None:
    """(Python's glob finds nothing there, without a word.)"""
    target = own / "catalog" / "targets" / "own-nli.yaml"
    text = target.read_text(encoding="utf-8")
    target.write_text(text.replace("own/test-{language}.tsv", "own/*-{language}.tsv"))
    with forbidden(own / place):
        done = xstilts(*arguments(own, "check", "--json"))
    rows = [row for row in json.loads(done.out)["rows"] if row["split"] == "test"]
    assert {row["status"] for row in rows} == {"wrong"}
    assert all("cannot be read: permission denied" in row["problem"] for row in rows)


@pytest.mark.parametrize("place", ["data/own/test-sw.tsv", "data/own/dev.tsv"])
def test_data_check_lists_it_and_goes_on(
    own: Path, xstilts: Callable[..., Any], place: str
) -> None:
    with forbidden(own / place):
        done = xstilts(*arguments(own, "check"))
        rows = json.loads(xstilts(*arguments(own, "check", "--json")).out)["rows"]
    assert done.code == 2
    assert f"{own / place}: cannot be read" in done.out
    wrong = [row for row in rows if row["status"] == "wrong"]
    assert len(wrong) == (1 if "test" in place else 3)  # both sources and the target have that dev
    assert all(str(own / place) in row["problem"] for row in wrong)
    assert {row["status"] for row in rows if row not in wrong} == {"ok"}


def test_data_check_of_an_unreadable_folder_lists_every_split(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    with forbidden(own / "data"):
        done = xstilts(*arguments(own, "check", "--json"))
    rows = json.loads(done.out)["rows"]
    assert done.code == 2
    assert len(rows) == 8
    assert {row["status"] for row in rows} == {"wrong"}


@pytest.mark.parametrize("place", ["", "targets", "targets/own-nli.yaml"])
def test_a_catalog(own: Path, xstilts: Callable[..., Any], place: str) -> None:
    with forbidden(own / "catalog" / place):
        done = xstilts(*arguments(own, "ls"))
    refused(done, own / "catalog" / place)


@pytest.mark.parametrize("place", ["", "config.json", "model.safetensors", "tokenizer.json"])
def test_a_backbone(xstilts: Callable[..., Any], tmp_path: Path, place: str) -> None:
    backbone = Path(shutil.copytree(NANO, tmp_path / "backbone"))
    with forbidden(backbone / place):
        done = xstilts("plan", "default", "--backbone", backbone, *CPU)
    refused(done, backbone / place)


@pytest.mark.world
@pytest.mark.parametrize("place", ["", "composition.json", "about.json"])
def test_a_model(tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path, place: str) -> None:
    model = tiny_run.copy(tmp_path)
    with forbidden(model / place):
        done = xstilts(
            "evaluate", model, "--target", "tiny-nli", "--catalog", tiny_run.catalog, *CPU
        )
    refused(done, model / place)


@pytest.mark.world
@pytest.mark.parametrize("place", ["", "records", "store/fit"])
def test_records(tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path, place: str) -> None:
    """Of an unreadable folder nobody can say that its records are valid, or that it has none."""
    out = Path(shutil.copytree(tiny_run.out, tmp_path / "out"))
    with forbidden(out / place):
        done = xstilts("validate", out)
    refused(done, out / place)
    assert xstilts("validate", out).code == 0


@pytest.mark.world
def test_a_folder_that_may_not_be_written_is_no_wrong_input(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with forbidden(tmp_path / "out"):
        done = xstilts(
            "bench", "tiny", "--catalog", tiny_run.catalog, "--out", tmp_path / "out" / "a", *CPU
        )
    assert done.code == 1
    assert "ermission denied" in done.err
    assert "--out" in done.err
