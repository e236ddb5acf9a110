"""`python -m harness.train.nano`: wrong arguments are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.train import nano


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where trainings would have gone."""
    found: list[Path] = []
    monkeypatch.setattr(nano, "pretrain_nano", lambda seed, out, **_: found.append(out))
    monkeypatch.setattr(nano.torch, "set_num_threads", lambda _: None)
    return found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--documents", "0"], "--documents: got 0; give 1 or more"),
        (["--documents", "-3"], "--documents: got -3; give 1 or more"),
        (["--threads", "0"], "--threads: got 0; give 1 or more"),
        (["--out", "FILE"], "FILE: File exists; give another folder"),
        (["--out", "FILE/below"], "FILE/below: Not a directory; give another folder"),
        (["--out", "/proc/nano"], "/proc/nano: No such file or directory; give another folder"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    arguments: list[str], said: str, trained: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        nano.main(["--out", str(out), *(text.replace("FILE", str(file)) for text in arguments)])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said.replace("FILE", str(file)) in err
    assert trained == []
    assert file.read_text(encoding="utf-8") == "mine"
    assert not out.exists()


def test_right_arguments_train(trained: list[Path], tmp_path: Path) -> None:
    nano.main(["--out", str(tmp_path / "a" / "b"), "--documents", "1"])
    assert trained == [tmp_path / "a" / "b"]
    assert list((tmp_path / "a" / "b").iterdir()) == []
