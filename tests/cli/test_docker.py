"""`bench --docker` before any container starts: when it is wanted, and what the job is."""

from __future__ import annotations

from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.bench import command
from harness.cli.docker import _NAMES
from harness.cli.job import bench_job
from harness.cli.options import load_catalog
from harness.containers.run import Job
from harness.errors import InputError
from tests.nano import NANO

NOWHERE = "unix:///nowhere/docker.sock"


loaded = cache(load_catalog)


def job_of(arguments: list[str]) -> Job:
    context = command.make_context("bench", list(arguments))
    options = dict(context.params)
    suite = options.pop("suite")
    catalog = loaded(options["catalog_folders"], hub=options["hub"])
    return bench_job(context, catalog, suite, options, _NAMES)


def parsed(arguments: list[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in command.make_context("bench", list(arguments)).params.items()
        if name not in _NAMES
    }


OPTIONS = st.sampled_from(
    [
        ["--seeds", "1,2"],
        ["--only", "target=world-nli"],
        ["--only", "recipe=direct,stack"],
        ["--tf32"],
        ["--no-deterministic"],
        ["--json"],
        ["--quiet"],
        ["--languages"],
        ["--workers", "0"],
        ["--device", "cpu"],
        ["--checkpoint-seconds", "2.5"],
        ["--batch-tokens", "1000"],
        ["--bad-rows", "skip"],
        ["--out", "-odd name"],
        ["--memory", "3g"],
        ["--cpus", "1.5"],
        ["--base", "debian"],
    ]
)


@given(st.lists(OPTIONS, unique_by=tuple), st.booleans())
def test_the_container_gets_the_same_command(options: list[list[str]], named: bool) -> None:
    """All that stood on the command line, but what is for containers."""
    given_arguments = ["--docker", *(["default"] if named else []), *chain.from_iterable(options)]
    job = job_of(given_arguments)
    assert job.arguments[0] == "bench"
    inside = list(job.arguments[1:])
    assert parsed(inside) == parsed(given_arguments)
    assert not [one for one in inside if one.startswith(("--docker", "--memory", "--base"))]


def test_only_what_is_needed_is_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "more" / "suites").mkdir(parents=True)
    job = job_of(["files", "--data", "data", "--catalog", "more", "--store", "/s", "--cpus", "2"])
    assert set(job.readable) == {tmp_path / "data", tmp_path / "more"}
    assert set(job.writable) == {tmp_path / "results" / "files", Path("/s")}
    assert (job.folder, job.network, job.cpus) == (tmp_path, False, 2)


def test_what_is_read_is_not_written(tmp_path: Path) -> None:
    for written in (["--out", str(tmp_path)], ["--store", str(tmp_path / "x" / "..")]):
        with pytest.raises(InputError, match="is read and written to"):
            job_of(["--data", str(tmp_path), *written])


def test_dots_mean_the_same_inside_or_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path / "here")
    job = job_of(["--data", "../elsewhere", "--out", "none/../out"])
    assert list(job.readable) == [tmp_path / "elsewhere"]
    assert tmp_path / "here" / "out" in job.writable
    assert {"--data=../elsewhere", "--out=out"} <= set(job.arguments)
    with pytest.raises(InputError, match=r"link/\.\./x: write it without '\.\.' after a link"):
        job_of(["--out", "link/../x"])


def test_links_to_and_in_a_backbone_folder_lead_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's cache is a folder of links to files beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_text("{}")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "config.json").symlink_to(Path("..", "blobs", "abc"))
    (tmp_path / "named").symlink_to("snapshot")
    job = job_of(["files-xlmr", "--backbone", "named"])
    wanted = {tmp_path / "snapshot", tmp_path / "named", tmp_path / "blobs" / "abc"}
    assert set(job.readable) == wanted


def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="the working folder is gone; cd to another one"):
        job_of([])
    monkeypatch.chdir(tmp_path)


def test_a_backbone_folder_is_visible() -> None:
    job = job_of(["files-xlmr", "--backbone", str(NANO), "--memory", "1.5 GiB"])
    assert list(job.readable) == [NANO]
    assert job.memory_bytes == 3 << 29


@pytest.mark.parametrize("arguments", [["xtreme", "--hub"], ["files-xlmr"]])
def test_the_hub_needs_a_network_and_its_cache(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    job = job_of(arguments)
    assert job.network
    assert {tmp_path, tmp_path / "hub"} <= set(job.writable)
    assert (job.environment["HF_HOME"], job.environment["HF_TOKEN"]) == (str(tmp_path), "secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = job_of(arguments)
    assert not offline.network
    assert "HF_TOKEN" not in offline.environment


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--memory", "much"], "--memory: 'much'; write a size such as 16g or 800m, from 64 MiB"),
        (["--memory", "0g"], "--memory: '0g'; write a size"),
        (["--memory", "1k"], "--memory: '1k'; write a size"),
        (["--memory", "999999t"], "--memory: '999999t'; write a size"),
        (["--cpus", "nan"], "--cpus: nan; from 0.01 to the machine's"),
        (["--cpus", "inf"], "--cpus: inf; from 0.01"),
        (["--cpus", "0"], "--cpus: 0; from 0.01"),
        (["--cpus", "100000"], "--cpus: 100000; from 0.01"),
        (["--out", "/"], "/: the container has a folder of its own there"),
        (["--out", "/tmp"], "/tmp: the container has a folder of its own there"),
        (["--data", "/proc"], "/proc: the container has a folder of its own there"),
        (["--store", "/xstilts/env"], "/xstilts/env: the container has a folder of its own there"),
        (["--out", "nu\udcff"], "nu\\udcff': is not UTF-8"),
        (["nothing"], "suite 'nothing'"),
        (["--data", "/nowhere"], "--data: /nowhere is not a folder"),
        (["--backbone", "nowhere"], "namespace/name@revision"),
        (["--catalog", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_input_needs_no_engine(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError) as refused:
        job_of(arguments)
    assert words in str(refused.value)


def invoke(arguments: list[str], **environment: str | None) -> Any:
    runner = CliRunner()
    return runner.invoke(
        command, arguments, env={"DOCKER_HOST": NOWHERE, "XSTILTS_DOCKER": None, **environment}
    )


def test_docker_without_an_engine_is_an_error() -> None:
    result = invoke(["--docker"])
    assert f"no engine is running at {NOWHERE} (DOCKER_HOST); start it" in str(result.exception)
    assert "--no-docker" in str(result.exception)


def test_make_bench_without_an_engine_runs_here_and_says_so() -> None:
    result = invoke(["nothing"], XSTILTS_DOCKER="auto")
    assert result.stderr.splitlines() == [
        "xstilts: no container: no engine is running at unix:///nowhere/docker.sock "
        "(DOCKER_HOST); running on this machine, and the "
        "records say so"
    ]
    assert "suite 'nothing'" in str(result.exception)  # as far as it came, and it came here


def test_options_of_containers_need_one() -> None:
    result = invoke(["--memory", "4g"])
    assert str(result.exception) == "--memory is for containers: add --docker"
    result = invoke(["--no-docker", "--cpus", "1"])
    assert "--cpus is for containers, and --no-docker runs" in str(result.exception)


def test_a_named_image_has_its_base_already() -> None:
    result = invoke(["--docker", "--image", "x", "--base", "debian"])
    assert isinstance(result.exception, InputError)
    assert "--image names one that is there" in str(result.exception)


@pytest.mark.parametrize("auto", [None, "auto"])
def test_no_docker_asks_no_engine(auto: str | None) -> None:
    result = invoke(["nothing", "--no-docker"], XSTILTS_DOCKER=auto)
    assert not result.stderr
    assert isinstance(result.exception, InputError)


def test_click_knows_no_option_twice() -> None:
    names = [name for one in command.params for name in one.opts]
    assert len(names) == len(set(names))
    assert all(isinstance(one, click.Parameter) for one in command.params)
