"""The command line as a whole: start-up, the list of commands, exit codes, one-line errors."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from harness import __version__
from harness.cli import cli, main
from harness.cli import doctor as doctor_module
from harness.cli.doctor import run_checks
from harness.cli.group import COMMANDS
from harness.containers.lock import pinned_versions
from harness.errors import InputError, InputErrors, WorkError
from harness.resources import resource_dir

HEAVY = ("torch", "transformers", "adapters", "numpy", "yaml", "jsonschema")


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`xstilts` in a process of its own, as a user would."""
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from harness.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `xstilts doctor` raise what it is given."""

    def use(error: BaseException) -> None:
        @click.command()
        def command() -> None:
            raise error

        monkeypatch.setattr(doctor_module, "command", command)

    return use


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=resource_dir("schemas").parent,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="torch asks for huge pages on Linux only")
@pytest.mark.parametrize(("asked", "aligned"), [(None, True), ("0", False)])
def test_torch_asks_for_huge_pages(asked: str | None, aligned: bool) -> None:
    """Those start where a page does, others 64 bytes into one; a user can say no."""
    code = (
        "from harness.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: import torch\n"
        "tensors = [torch.empty(2**22, dtype=torch.uint8) for _ in range(8)]\n"
        "print(all(one.data_ptr() % 4096 == 0 for one in tensors))"
    )
    others = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**others, **({} if asked is None else {"THP_MEM_ALLOC_ENABLE": asked})},
        capture_output=True, text=True, check=True, cwd=resource_dir("schemas").parent,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == str(aligned)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line[2:3] != " "]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: xstilts {name} ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"xstilts {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nope"], "xstilts: error: No such command 'nope'. (see xstilts --help)\n"),
        (["--nope"], "xstilts: error: No such option '--nope'. (see xstilts --help)\n"),
        (
            ["validate"],
            "xstilts: error: Missing argument 'PATHS...'. (see xstilts validate --help)\n",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.yaml: seed: got 'x';\n allowed are numbers"), 2,
         "a.yaml: seed: got 'x'; allowed are numbers"),
        (WorkError("worker 3 died"), 1, "worker 3 died"),
        (OSError(errno.ENOSPC, "No space left on device", "out/w"), 1,
         "out/w: the disk is full; free some or choose another --out"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1,
         "the disk is full; free some or choose another --out"),
        (OSError(errno.EROFS, "Read-only file system", "out"), 1,
         "out: read-only file system; choose a folder you may write to with --out"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 1,
         "out: permission denied; choose a folder you may write to with --out"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), 1,
         "x: no such file or directory"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_its_exit_code(
    error: Exception,
    code: int,
    line: str,
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(error)
    assert exit_code("doctor") == code
    assert capsys.readouterr().err == f"xstilts: error: {line}\n"


def test_each_of_several_errors_is_a_line(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    both = InputErrors(["a.yaml: task: got 1;\n allowed is text", "b.yaml: task: got 2"])
    failing(pickle.loads(pickle.dumps(both)))  # as it comes from a worker
    assert exit_code("doctor") == 2
    assert capsys.readouterr().err == (
        "xstilts: error: a.yaml: task: got 1; allowed is text\n"
        "xstilts: error: b.yaml: task: got 2\n"
    )


def test_an_unexpected_error_says_where_and_shows_its_traceback_with_debug(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("by zero"))
    assert exit_code("doctor") == 1
    line = capsys.readouterr().err
    assert line.startswith("xstilts: error: unexpected ZeroDivisionError at ")
    assert line.count("\n") == 1
    assert exit_code("--debug", "doctor") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyboardInterrupt())
    assert exit_code("doctor") == 130
    assert "the same command again continues" in capsys.readouterr().err


def test_no_arguments_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 2
    assert capsys.readouterr().err.startswith("Usage: xstilts")


def test_doctor_reports_as_json(tmp_path: Path) -> None:
    done = run("doctor", "--json", "--out", str(tmp_path / "not" / "yet"))
    report = json.loads(done.stdout)
    names = [check["name"] for check in report["checks"]]
    assert names == [
        "python", "packages", "torch", "gpu", "memory", "disk", "output", "nano", "schemas",
        "docker",
    ]  # fmt: skip
    assert done.returncode == (0 if report["ready"] else 1)
    assert {check["status"] for check in report["checks"]} <= {"ok", "warn", "fail"}
    assert all(check["remedy"] for check in report["checks"] if check["status"] != "ok")
    assert not (tmp_path / "not").exists()


def test_doctor_fails_where_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    assert exit_code("doctor", "--out", str(tmp_path)) == 1
    output = capsys.readouterr()
    assert f"fail  output    {tmp_path}: Read-only file system; choose a folder" in output.out
    assert "not ready: " in output.err


def test_doctor_goes_on_after_a_check_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("odd\nfile system")

    monkeypatch.setattr("shutil.disk_usage", broken)
    checks = {check.name: check for check in run_checks(tmp_path)}
    assert checks["disk"].status == "fail"
    assert checks["disk"].found == "ValueError: odd file system"
    assert checks["schemas"].status == "ok"


def test_doctor_finds_a_changed_file_of_nano(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "harness" / "data" / "world" / "nano"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (folder / "SHA256SUMS").write_text(f"{empty}  config.json\n{empty}  model.safetensors\n")
    monkeypatch.setattr(doctor_module, "__file__", str(tmp_path / "harness" / "cli" / "doctor.py"))
    assert {check.name: check for check in run_checks(tmp_path)}["nano"].status == "ok"
    (folder / "model.safetensors").write_bytes(b"x")
    check = {check.name: check for check in run_checks(tmp_path)}["nano"]
    assert check.status == "fail"
    assert check.found.endswith("changed or missing: model.safetensors")


def test_the_lock_holds_what_the_project_asks_for() -> None:
    locked = pinned_versions(resource_dir("requirements") / "runtime.lock")
    assert locked["adapters"] == "1.3.0"
    assert {"transformers", "numpy", "click", "sympy", "jinja2", "setuptools"} <= set(locked)
    assert not [name for name in locked if name.startswith(("torch", "nvidia", "triton"))]


@pytest.mark.parametrize("name", ["runtime.lock", "dev.lock", "torch.txt"])
def test_the_locks_name_no_index(name: str) -> None:
    text = (resource_dir("requirements") / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--find-links" not in text


def test_validate_names_every_invalid_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tmp_path / "records"
    records.mkdir()
    (records / "a.json").write_text("{}")
    (records / "b.json").write_text("not JSON")
    (tmp_path / "other.json").write_text("{}")
    assert exit_code("validate", str(tmp_path)) == 2
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert [line.startswith(f"invalid: {records / n}: ") for line, n in
            zip(lines, ("a.json", "b.json"), strict=True)] == [True, True]  # fmt: skip
    assert output.err == "xstilts: error: 2 of 2 records invalid\n"


def test_validate_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("[]")
    assert exit_code("validate", "--json", str(tmp_path)) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == 1
    assert report["invalid"][0]["file"] == str(tmp_path / "a.json")


def test_validate_accepts_valid_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr("harness.results.validate_file", seen.append)
    (tmp_path / "a.json").write_text("{}")
    assert exit_code("validate", str(tmp_path), str(tmp_path / "a.json")) == 0
    assert seen == [tmp_path / "a.json"]
    assert capsys.readouterr().out == "1 record valid\n"


def test_validate_refuses_a_folder_without_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("validate", str(tmp_path)) == 2
    assert "no records here" in capsys.readouterr().err


def test_the_group_refuses_names_that_are_no_commands() -> None:
    assert cli.get_command(click.Context(cli), "group") is None


@pytest.mark.world
def test_quiet_leaves_stderr_empty_and_the_table_as_it_is(
    tiny_run: Any, xstilts: Callable[..., Any]
) -> None:
    arguments = ("bench", "tiny", "--catalog", tiny_run.catalog, "--out", tiny_run.out)
    loud = xstilts(*arguments, "--device", "cpu", "--workers", "0")
    quiet = xstilts(*arguments, "--device", "cpu", "--workers", "0", "--quiet")
    assert (loud.code, quiet.code) == (0, 0)
    assert f"records in {tiny_run.out / 'records'}" in loud.err
    assert quiet.err == ""
    assert quiet.out == loud.out != ""
