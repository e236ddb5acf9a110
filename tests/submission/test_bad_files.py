"""Faults of label and prediction files: one line with the file and the line, exit code 2."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalog import Catalog
from harness.errors import InputError
from harness.submission import FilePair, layout_of, score_task, xtreme_task, xtreme_tasks
from tests.submission.conftest import Command

CATALOG = Catalog.load()
_XNLI = "entailment\nneutral\ncontradiction\n"
_UDPOS = "DET\nNOUN\n\nVERB\n"
_PANX = "B-PER\nI-PER\nO\n\nO\n"
_BUCC = "de-1\ten-7\nde-2\ten-9\n"


def _squad(answers: dict[str, list[str]]) -> str:
    qas = [
        {
            "id": name,
            "question": "?",
            "answers": [{"text": text, "answer_start": 0} for text in texts],
        }
        for name, texts in answers.items()
    ]
    return json.dumps({"data": [{"paragraphs": [{"context": "a b", "qas": qas}]}]})


_SQUAD = _squad({"q1": ["x"], "q2": ["b", "a b"]})
_GOLD = {
    "xnli": _XNLI,
    "pawsx": "0\n1\n",
    "udpos": _UDPOS,
    "panx": _PANX,
    "xquad": _SQUAD,
    "mlqa": _SQUAD,
    "tydiqa": _SQUAD,
    "bucc2018": _BUCC,
    "tatoeba": "2\n0\n1\n",
}

WRONG_PREDICTIONS = [
    ("xnli", "entailment\nneutral\n", "P: the number of labels is 2, in G it is 3; give one per"),
    ("xnli", _XNLI + "neutral\n", "P: the number of labels is 4, in G it is 3"),
    ("xnli", "entailment\nyes\nneutral\n", "P, line 2: label 'yes' is unknown; xnli has one of"),
    ("xnli", "entailment\n\nneutral\n", "P, line 2: the line is blank"),
    ("xnli", "entailment\nneutral\nneutral\n\n", "P, line 4: the line is blank"),
    ("xnli", "Entailment\nneutral\nneutral\n", "P, line 1: label 'Entailment' is unknown"),
    ("xnli", "", "P: the file is empty"),
    ("xnli", "\n \n", "P: the file is empty"),
    ("xnli", "\ufeff" + _XNLI, "P, line 1: starts with a byte order mark"),
    ("xnli", b"entailment\nneutr\xe4l\nneutral\n", "P, line 2: byte 0xe4 is not UTF-8"),
    ("xnli", _XNLI.encode("utf-16"), "P, line 1: byte 0xff is not UTF-8"),
    ("pawsx", "0\n2\n", "P, line 2: label '2' is unknown; pawsx has one of 0, 1 per line"),
    ("udpos", "DET\nNOUN\n", "P: the number of sentences is 1, in G it is 2"),
    ("udpos", "DET\nNOUN\nVERB\n", "P, line 1: sentence 1 has 3 tags, in G it has 2"),
    ("udpos", "DET\nNOUN\n\nVERB\nX\n", "P, line 4: sentence 2 has 2 tags, in G it has 1"),
    ("udpos", _UDPOS + "\nX\n", "P: the number of sentences is 3, in G it is 2"),
    ("udpos", "DET\nNOUN\n\n\nVERB\n", "P, line 4: sentence 2 has 0 tags, in G it has 1"),
    ("udpos", "the\tDET\ncat\tNOUN\n\nis\tVERB\n", "P, line 1: label 'the\\tDET' is unknown"),
    ("panx", "B-PER\nI-PER\nO\n\nB-MISC\n", "P, line 5: label 'B-MISC' is unknown; panx has"),
    ("tatoeba", "2\n0\n", "P: the number of indices is 2, in G it is 3"),
    ("tatoeba", "2\n0\n1.0\n", "P, line 3: '1.0' is no line number; write one integer"),
    ("tatoeba", "2\n-1\n1\n", "P, line 2: '-1' is no line number"),
    ("tatoeba", "2\n00\n1\n", "P, line 2: '00' is no line number"),
    ("tatoeba", "2\n٣\n1\n", "P, line 2: '٣' is no line number"),
    ("tatoeba", "2\n\n1\n", "P, line 2: the line is blank"),
    ("tatoeba", "2\n" + "9" * 5000 + "\n1\n", "P, line 2: '999"),
    ("bucc2018", "", "P: the file is empty"),
    ("bucc2018", "de-1 en-7\n", "P, line 1: 'de-1 en-7' is no pair of ids"),
    ("bucc2018", "de-1\ten-7\t0.9\n", "P, line 1: 'de-1\\ten-7\\t0.9' is no pair of ids"),
    ("bucc2018", "de-1\ten-7\n\nde-2\ten-9\n", "P, line 2: the line is blank"),
    ("bucc2018", "de-1\ten-7\nen-9\tde-2\n", "P, line 2: id 'en-9' is not of the first side"),
    ("bucc2018", "de-1\tfr-7\n", "P, line 1: id 'fr-7' is not of the second side; in G its ids"),
    ("xquad", "{}", "P: holds no answers"),
    ("xquad", "", "P: the file is empty"),
    ("xquad", '{"q1": "a",\n "q2": }', "P: not valid JSON: Expecting value: line 2 column 8"),
    ("xquad", '{"q1": "a"', "P: not valid JSON"),
    ("xquad", '["a", "b"]', "P: must be one JSON object, got [\"a\", \"b\"]"),
    ("xquad", '{"q1": "a", "q1": "b"}', "P: not valid JSON: key 'q1' appears twice"),
    ("xquad", '{"q1": "a",\n"q3": "b"}', "P, line 2: question id 'q3' is not in G"),
    ("xquad", '{"q4": "a",\n"q3": "b"}', "P, line 1: question id 'q4' is not in G (and 1 more)"),
    ("xquad", '{"q1": "a",\n\n"q2": 7}', "P, line 3: the answer to 'q2' is 7; it must be a string"),
    ("mlqa", '{"q1": ["a"]}', "P, line 1: the answer to 'q1' is [\"a\"]; it must be a string"),
    ("tydiqa", '{"q1": null}', "P, line 1: the answer to 'q1' is null; it must be a string"),
    ("tydiqa", b'{"q1":\n "\xff"}', "P, line 2: byte 0xff is not UTF-8"),
    ("tydiqa", '\ufeff{"q1": "a"}', "P, line 1: starts with a byte order mark"),
    ("tydiqa", "[" * 100_000, "P: not valid JSON"),
]  # fmt: skip
WRONG_GOLD: list[tuple[str, str | bytes, str]] = [
    ("xnli", "", "G: the file is empty"),
    ("xnli", "entailment\n?\nneutral\n", "G, line 2: label '?' is unknown"),
    ("udpos", "DET\nB-PER\n\nVERB\n", "G, line 2: label 'B-PER' is unknown; udpos has one of ADJ"),
    ("tatoeba", "2\nx\n1\n", "G, line 2: 'x' is no line number"),
    ("tatoeba", "2\n0\n2\n", "G, line 3: 2 stands in an earlier line, too"),
    ("bucc2018", _BUCC + "de-1\ten-7\n", "G, line 3: the pair de-1 en-7 stands in line 1 already"),
    ("xquad", "{", "G: not valid JSON"),
    ("xquad", "[]", "G: must be one JSON object, got []"),
    ("xquad", "{}", "G: not in SQuAD's layout, in which 'data' is a list of objects"),
    ("xquad", '{"data": []}', "G: no questions"),
    ("xquad", '{"data": [{"paragraphs": [3]}]}', "G, article 1: not in SQuAD's layout"),
    ("xquad", '{"data": [{"paragraphs": [{"qas": []}]}]}', "G, article 1, paragraph 1: not in"),
    ("xquad", _SQUAD.replace('"q2"', '"q1"'), "G: question id 'q1' stands for 2 questions"),
    ("xquad", _SQUAD.replace('"q2"', "2"), "question 2: not in SQuAD's layout, in which 'id'"),
    ("xquad", _squad({"q1": ["a"], "q2": []}), "question 2: has no answers, so the gold is"),
    ("xquad", _squad({"q1": [""], "q2": [""]}), "G: every answer is empty, so the gold is"),
]  # fmt: skip


def _files(folder: Path, gold: str | bytes, pred: str | bytes) -> tuple[Path, Path]:
    paths = folder / "gold", folder / "pred"
    for path, content in zip(paths, (gold, pred), strict=True):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return paths


def _good(task: str) -> str:
    return '{"q1": "x", "q2": "b"}' if task in ("xquad", "mlqa", "tydiqa") else _GOLD[task]


@pytest.mark.parametrize("task", _GOLD)
def test_the_good_files_are_good(xstilts: Command, tmp_path: Path, task: str) -> None:
    gold, pred = _files(tmp_path, _GOLD[task], _good(task))
    found = xstilts("score", task, "--gold", gold, "--pred", pred, "--lang", "de", "--json").json
    assert found["score"] == 100.0


@pytest.mark.parametrize(("task", "content", "message"), WRONG_PREDICTIONS)
def test_wrong_predictions(
    xstilts: Command, tmp_path: Path, task: str, content: Any, message: str
) -> None:
    gold, pred = _files(tmp_path, _GOLD[task], content)
    error = xstilts("score", task, "--gold", gold, "--pred", pred, "--lang", "de").error
    assert error.replace(str(gold), "G").replace(str(pred), "P").startswith(message)


@pytest.mark.parametrize(("task", "content", "message"), WRONG_GOLD)
def test_wrong_gold(
    xstilts: Command, tmp_path: Path, task: str, content: Any, message: str
) -> None:
    gold, pred = _files(tmp_path, content, _good(task))
    error = xstilts("score", task, "--gold", gold, "--pred", pred, "--lang", "de").error
    assert message in error.replace(str(gold), "G").replace(str(pred), "P")


def test_lines_may_end_as_on_windows_or_not_at_all(xstilts: Command, tmp_path: Path) -> None:
    gold, pred = _files(tmp_path, _UDPOS, _UDPOS.replace("\n", "\r\n").removesuffix("\r\n"))
    files = ("--gold", gold, "--pred", pred, "--lang", "de", "--json")
    assert xstilts("score", "udpos", *files).json["score"] == 100.0


def test_unanswered_questions_score_0_even_where_nothing_would_be_right(
    xstilts: Command, tmp_path: Path
) -> None:
    gold, pred = _files(tmp_path, _squad({"q1": ["the"], "q2": ["b"]}), '{"q2": "b"}')
    files = ("--gold", gold, "--pred", pred, "--lang", "en")
    found = xstilts("score", "xquad", *files, "--json")
    assert found.json["languages"]["en"] == {
        "exact_match": 50.0, "f1": 50.0, "n": 2, "unanswered": 1,
    }  # fmt: skip
    assert found.err == "warning: xquad (en): 1 question is unanswered and scores 0\n"
    pred.write_text('{"q1": "", "q2": "b"}')  # an empty answer is an answer: "the" is no word
    assert xstilts("score", "xquad", *files, "--json").json["languages"]["en"]["exact_match"] == 100


def test_repeated_pairs_count_once(xstilts: Command, tmp_path: Path) -> None:
    gold, pred = _files(tmp_path, _BUCC, "de-1\ten-7\n" * 3 + "de-2\ten-8\n")
    files = ("--gold", gold, "--pred", pred, "--lang", "de")
    found = xstilts("score", "bucc2018", *files, "--json")
    assert found.json["languages"]["de"] == {
        "f1": 50.0, "precision": 50.0, "recall": 50.0, "n": 2, "repeated": 2,
    }  # fmt: skip
    assert "2 lines repeat a pair and count once" in found.err


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["data", "paragraphs", "qas", "answers", "id", "text", "context", "q1", "q2"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("task", _GOLD)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_file_is_scored_or_refused(task: str, data: Any) -> None:
    spec = xtreme_task(CATALOG, task)
    good = [_GOLD[task].encode(), _good(task).encode()]
    side = data.draw(st.sampled_from([0, 1]))
    start = data.draw(st.integers(0, len(good[side])))
    stop = data.draw(st.integers(start, min(len(good[side]), start + 9)))
    damaged = good[side][:start] + data.draw(st.binary(max_size=4)) + good[side][stop:]
    good[side] = data.draw(st.just(damaged) | st.binary(max_size=20) | _json)
    with tempfile.TemporaryDirectory() as folder:
        gold, pred = _files(Path(folder), *good)
        try:
            score = score_task(spec, [FilePair("de", gold, pred)])
        except InputError as error:
            assert "\n" not in str(error)
            assert str(gold) in str(error) or str(pred) in str(error)
        else:
            assert 0 <= score.score <= 100


# --- folders ---


def _submission(root: Path) -> None:
    for side in ("gold", "pred"):
        for name, task in xtreme_tasks(CATALOG).items():
            folder = root / side / name
            folder.mkdir(parents=True)
            for code in task.languages:
                text = _GOLD[name] if side == "gold" else _good(name)
                (folder / layout_of(task).file_name(code)).write_text(text)


def test_a_whole_submission_must_be_whole(xstilts: Command, tmp_path: Path) -> None:
    _submission(tmp_path)
    gold, pred = tmp_path / "gold", tmp_path / "pred"
    score = ("score", "--all", "--json", "--gold", gold, "--pred", pred)
    assert xstilts(*score).json["all_task"] == 100.0
    (pred / "panx/test-yo.tsv").unlink()
    (pred / "panx/test-af.tsv").unlink()
    (pred / "xquad/test-el.json").rename(pred / "xquad/test-el.tsv")
    (gold / "mlqa/test-hi.json").unlink()
    for file in (pred / "tydiqa").iterdir():
        file.unlink()
    error = xstilts(*score).error
    assert error.startswith("missing: ")
    for part in (
        f"{pred / 'panx'}: test-af.tsv, test-yo.tsv;",
        f"{pred / 'xquad'}: test-el.json",
        f"{gold / 'mlqa'}: test-hi.json;",
        f"{pred / 'tydiqa'}: all 9 files",
    ):
        assert part in error
    # What gold lacks is no fault of a part, what only the predictions lack is.
    assert str(gold / "mlqa") not in xstilts(*score, "--partial").error
    (pred / "panx/test-yo.tsv").write_text("X\n")
    assert "panx" in xstilts(*score, "--partial").error


def test_languages_of_a_folder(xstilts: Command, tmp_path: Path) -> None:
    gold, pred = tmp_path / "gold", tmp_path / "pred"
    score = ("score", "xnli", "--json", "--gold", gold, "--pred", pred)
    for folder in (gold, pred):
        folder.mkdir()
    assert "gold: no label files here; expected test-LANG.tsv" in xstilts(*score).error
    for code in ("de", "A0"):  # a language that XTREME does not have
        (gold / f"test-{code}.tsv").write_text(_XNLI)
        (pred / f"test-{code}.tsv").write_text(_XNLI)
    found = xstilts(*score).json
    assert list(found["languages"]) == ["de", "A0"] and not found["official_languages"]
    assert list(xstilts(*score, "--lang", "A0").json["languages"]) == ["A0"]
    assert "not XTREME's average: it does not have A0" in xstilts(*score[:2], *score[3:]).out
    assert xstilts(*score, "--lang", "fr").error == f"--lang fr: {gold} has only de, A0"
    (pred / "test-fr.tsv").write_text(_XNLI)
    assert f"{pred}/test-fr.tsv: {gold} has no gold for it" in xstilts(*score).error
    (pred / "test-de.tsv").unlink()
    assert xstilts(*score).error.startswith(f"missing: {pred}: test-de.tsv; add these")
    assert list(xstilts(*score, "--lang", "A0").json["languages"]) == ["A0"]  # that one is there
    (pred / "test-de.tsv").write_text(_XNLI)
    (gold / "test-fr.tsv").write_text(_XNLI)
    (gold / "test-zz.tsv").write_text(_XNLI)
    (pred / "test-zz.tsv").write_text(_XNLI)
    assert "language 'zz' is unknown; xnli has ar, bg," in xstilts(*score).error


def test_a_language_more_is_no_average_of_xtreme(xstilts: Command, tmp_path: Path) -> None:
    from harness.catalog import Catalog

    gold, pred = tmp_path / "gold" / "xnli", tmp_path / "pred" / "xnli"
    codes = Catalog.load().target("xnli").languages
    for folder in (gold, pred):
        folder.mkdir(parents=True)
        for code in codes:
            (folder / f"test-{code}.tsv").write_text(_XNLI)
    task = ("score", "xnli", "--gold", gold, "--pred", pred)
    whole = ("score", "--all", "--partial", "--gold", gold.parent, "--pred", pred.parent)
    assert xstilts(*task, "--json").json["official_languages"]
    assert "not XTREME's" not in xstilts(*task).out
    assert "*" not in xstilts(*whole).out
    for folder in (gold, pred):
        (folder / "test-ka.tsv").write_text(_XNLI)
    assert not xstilts(*task, "--json").json["official_languages"]
    assert "not XTREME's average: it does not have ka" in xstilts(*task).out
    assert "16*" in xstilts(*whole).out
    (gold / "test-qqq.tsv").write_text(_XNLI)
    assert "test-qqq.tsv: language 'qqq' is unknown; xnli has ar," in xstilts(*whole).error


@pytest.mark.parametrize(
    ("names", "option", "message"),
    [
        (("test-de.tsv", "test-de.tsv"), ("--lang", "zh"), "name says 'de', --lang 'zh'"),
        (("gold.tsv", "test-de.tsv"), ("--lang", "zh"), "test-de.tsv: its name says 'de'"),
        (("test-de.tsv", "test-zh.tsv"), (), "their names say two languages; add --lang L"),
        (("gold.tsv", "pred.tsv"), (), "its name does not say its language; add --lang L"),
    ],
)
def test_names_that_say_another_language(
    xstilts: Command, tmp_path: Path, names: tuple[str, str], option: tuple[str, ...], message: str
) -> None:
    files = [tmp_path / side / name for side, name in zip("gp", names, strict=True)]
    for file in files:
        file.parent.mkdir()
        file.write_text(_XNLI)
    done = xstilts("score", "xnli", "--gold", files[0], "--pred", files[1], *option)
    assert message in done.error


USAGE = [
    (("score", "--gold", "x", "--pred", "x"), "give either a TASK or --all"),
    (("score", "xnli", "--all", "--gold", "x", "--pred", "x"), "give either a TASK or --all"),
    (("score", "xnli", "--partial", "--gold", "x", "--pred", "x"), "--partial goes with --all"),
    (("score", "--all", "--lang", "de", "--gold", "x", "--pred", "x"), "--lang goes with a TASK"),
    (("score", "nli", "--gold", "x", "--pred", "x"), "task 'nli' is none of XTREME's; allowed: "),
    (("score", "world-nli", "--gold", "x", "--pred", "x"), "task 'world-nli' is none of XTREME's"),
    (("score", "xnli", "--gold", "x"), "Missing option '--pred'"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_usage(xstilts: Command, arguments: tuple[str, ...], message: str) -> None:
    assert message in xstilts(*arguments).error


def test_files_that_cannot_be_read(xstilts: Command, tmp_path: Path) -> None:
    gold, pred = _files(tmp_path, _XNLI, _XNLI)
    nowhere = tmp_path / "nowhere"
    files = ("--gold", gold, "--pred", nowhere, "--lang", "de")
    assert f"{nowhere}: cannot be read: no such file" in xstilts("score", "xnli", *files).error
    files = ("--gold", gold, "--pred", tmp_path, "--lang", "de")
    assert "one is a folder, one a file" in xstilts("score", "xnli", *files).error
    error = xstilts("score", "xnli", "--gold", gold, "--pred", pred).error
    assert error == f"{gold}: its name does not say its language; add --lang L"
    os.truncate(pred, 0)
    files = ("--gold", gold, "--pred", pred, "--lang", "zz")
    assert "language 'zz' is unknown" in xstilts("score", "xnli", *files).error
