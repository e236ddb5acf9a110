"""XTREME's targets: official languages, official layouts with their gold, counts of real files."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import Catalog, Target, default_directory
from harness.data import DataContext, Dataset, drop_overlap, load_scored, load_split, splits
from harness.errors import InputError

GROUPS = {
    "classification": ("xnli", "pawsx"),
    "tagging": ("udpos", "panx"),
    "qa": ("xquad", "mlqa", "tydiqa"),
    "retrieval": ("bucc2018", "tatoeba"),
}
NUMBERS = {"xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9,
           "bucc2018": 4, "tatoeba": 36}  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def read(catalog: Catalog, name: str, split: str, language: str, root: Path) -> Dataset:
    target = catalog.target(name)
    context = DataContext(root, language_iso3=catalog.language_iso3())
    return load_split(getattr(target, split), language, target.labels, context, f"{name}/{split}")


def test_groups_languages_and_settings(catalog: Catalog) -> None:
    grouped = {one.name: one.group for one in catalog.targets.values() if one.group}
    assert grouped == {name: group for group, names in GROUPS.items() for name in names}
    for name, number in NUMBERS.items():
        target = catalog.target(name)
        assert len(target.languages) == number, name
        assert target.submission == name
        assert list(target.settings) == ["xtreme", "jiant", "adapters"], name
        assert target.citation and target.get and target.licence, name
        assert target.train_language == "en"
    for target in catalog.targets.values():
        assert target.world or target.citation, target.name
    # Tatoeba and BUCC have English on the other side; every other target scores it, too.
    without_english = [name for name in NUMBERS if "en" not in catalog.target(name).languages]
    assert without_english == ["bucc2018", "tatoeba"]


def test_languages_are_those_of_an_official_submission(catalog: Catalog, shared_data: Path) -> None:
    for folder in sorted((shared_data / "xtreme-official-mock" / "labels").iterdir()):
        official = {file.stem.removeprefix("test-") for file in folder.iterdir()}
        assert set(catalog.target(folder.name).languages) == official, folder.name


@pytest.mark.parametrize(
    ("name", "setting", "epochs", "rate", "batch", "length"),
    [  # google-research/xtreme's scripts; jiant's guide for XTREME
        ("xnli", "xtreme", 5, 3e-5, 32, 128),
        ("pawsx", "xtreme", 5, 2e-5, 32, 128),
        ("udpos", "xtreme", 10, 2e-5, 32, 128),
        ("panx", "xtreme", 10, 2e-5, 32, 128),
        ("xquad", "xtreme", 3, 3e-5, 32, 384),
        ("mlqa", "xtreme", 3, 3e-5, 32, 384),
        ("tydiqa", "xtreme", 3, 2.1e-5, 32, 384),
        ("xnli", "jiant", 2, 1e-5, 32, 256),
        ("pawsx", "jiant", 5, 1e-5, 32, 256),
        ("udpos", "jiant", 10, 1e-5, 32, 256),
        ("panx", "jiant", 10, 1e-5, 32, 256),
        ("xquad", "jiant", 2, 1e-5, 16, 384),
        ("mlqa", "jiant", 2, 1e-5, 16, 384),
        ("tydiqa", "jiant", 2, 1e-5, 16, 384),
    ],
)
def test_hyper_parameters(
    catalog: Catalog, name: str, setting: str, epochs: int, rate: float, batch: int, length: int
) -> None:
    training = catalog.target(name).settings[setting]
    assert (training.epochs, training.batch_size, training.max_length) == (epochs, batch, length)
    assert training.learning_rate == training.full_learning_rate == rate
    assert catalog.target(name).max_length == (384 if length == 384 else 128)


def test_tydiqa_warms_up_as_xtreme_does(catalog: Catalog) -> None:
    """A rise to 3e-5 over 500 steps that ends with the training, after 3 epochs of 3,696 rows."""
    training = catalog.target("tydiqa").settings["xtreme"]
    assert training.batch_size is not None
    steps = training.epochs * 3696 // training.batch_size
    assert (steps, training.warmup) == (346, 1.0)
    assert training.learning_rate == pytest.approx(3e-5 * steps / 500, rel=0.02)


def test_full_fine_tuning_runs_in_both_published_settings(catalog: Catalog) -> None:
    suite = catalog.suite("xtreme-full-ft")
    assert suite.settings == ("xtreme", "jiant")
    trained = [one for names in GROUPS.values() for one in names if catalog.target(one).train]
    assert len(trained) == 7
    assert [(block.recipes, block.targets) for block in suite.blocks] == [
        (("full-ft",), tuple(trained))
    ]
    # Adapters have a setting of their own, which is no published one of full fine-tuning.
    adapters = catalog.suite("xtreme")
    assert adapters.settings == ("adapters",)
    assert {name for block in adapters.blocks for name in block.recipes} == {"direct"}
    assert {name for block in adapters.blocks for name in block.targets} == set(NUMBERS)


# -- official layouts ------------------------------------------------------------------------------


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text.encode())


def squad(*rows: tuple[str, str, str, str], title: str | None = None) -> str:
    """SQuAD's JSON: id, context, question, answer (which stands in the context, or is empty)."""
    articles: list[dict[str, Any]] = []
    for name, context, question, answer in rows:
        answers = [{"text": answer, "answer_start": context.index(answer)}]
        qas = [{"id": name, "question": question, "answers": answers}]
        paragraph = {"context": context, "qas": qas}
        articles.append({"paragraphs": [paragraph], **({"title": title} if title else {})})
    return json.dumps({"version": "1.1", "data": articles})


def conllu(*words: tuple[str, str, str]) -> str:
    rows = [
        f"{number}\t{form}\t_\t{upos}\t_\t_\t{0 if upos == 'VERB' else 1}\t_\t_\t_"
        for number, form, upos in words
    ]
    return "\n".join([*rows, "", ""])


def test_xnli_takes_its_gold_from_the_release(catalog: Catalog, tmp_path: Path) -> None:
    write(
        tmp_path,
        "xnli/train-en.tsv",  # as Python's csv module writes it
        'He said "no" .\tHe spoke .\tentailment\r\n'.replace('"no"', "no")
        + '"He said ""no"" ."\tHe was silent .\tcontradictory\r\n',
    )
    write(tmp_path, "xnli/dev-en.tsv", "A.\tB.\tneutral\r\n")
    head = "language gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse "
    head += "sentence2_parse sentence1 sentence2 promptID pairID genre label1 label2 label3 label4 "
    header = (head + "label5 sentence1_tokenized sentence2_tokenized match").split()

    def row(language: str, label: str, one: str, two: str) -> str:
        cells = dict.fromkeys(header, "x")
        cells |= {"language": language, "gold_label": label, "sentence1": one, "sentence2": two}
        return "\t".join(cells.values())

    lines = ["\t".join(header), row("sw", "neutral", 'Alisema "ndiyo"', "Ndiyo."),
             row("ur", "entailment", "a", "b"), row("sw", "contradiction", "c", "d")]  # fmt: skip
    write(tmp_path, "XNLI-1.0/xnli.test.tsv", "\n".join(lines) + "\n")
    train = read(catalog, "xnli", "train", "en", tmp_path).examples
    assert [(e.premise, e.label) for e in train] == [
        ("He said no .", "entailment"),
        ('He said "no" .', "contradiction"),
    ]
    assert read(catalog, "xnli", "dev", "en", tmp_path).examples[0].label == "neutral"
    test = read(catalog, "xnli", "test", "sw", tmp_path).examples
    assert [(e.premise, e.hypothesis, e.label, e.group) for e in test] == [
        ('Alisema "ndiyo"', "Ndiyo.", "neutral", "xnli-test:0"),
        ("c", "d", "contradiction", "xnli-test:1"),
    ]


def test_pawsx_takes_its_gold_from_the_release(catalog: Catalog, tmp_path: Path) -> None:
    write(tmp_path, "pawsx/train-en.tsv", '"The ""A"" ."\tB .\t1\r\nC .\tD .\t0\r\n')
    write(tmp_path, "x-final/ko/test_2k.tsv", 'id\tsentence1\tsentence2\tlabel\n3\t"가"\t나\t1\n')
    train = read(catalog, "pawsx", "train", "en", tmp_path).examples
    assert [(e.premise, e.label) for e in train] == [('The "A" .', "1"), ("C .", "0")]
    (test,) = read(catalog, "pawsx", "test", "ko", tmp_path).examples
    assert (test.premise, test.hypothesis, test.label) == ('"가"', "나", "1")  # no quoting there


def test_udpos_joins_the_treebanks_of_a_language(catalog: Catalog, tmp_path: Path) -> None:
    folder = "ud-treebanks-v2.5"
    write(tmp_path, f"{folder}/UD_French-ParTUT/fr_partut-ud-test.conllu",
          conllu(("1", "second", "VERB")))  # fmt: skip
    fused = conllu(("1-2", "du", "_"), ("1", "de", "ADP"), ("2", "le", "DET"), ("3", "a", "VERB"))
    write(
        tmp_path, f"{folder}/UD_French-GSD/fr_gsd-ud-test.conllu", fused.replace("\t1\t", "\t3\t")
    )
    write(tmp_path, f"{folder}/UD_Faroese-OFT/fo_oft-ud-test.conllu", conllu(("1", "x", "VERB")))
    found = read(catalog, "udpos", "test", "fr", tmp_path).examples
    assert [(e.tokens, e.tags) for e in found] == [
        (("du", "a"), ("ADP", "VERB")),
        (("second",), ("VERB",)),
    ]


def test_panx_takes_its_gold_from_wikiann(catalog: Catalog, tmp_path: Path) -> None:
    write(tmp_path, "panx/train-en.tsv", "Paris\tB-LOC\n\nGo\tO\n\n")
    write(tmp_path, "panx_dataset/th/test", "th:กรุงเทพ\tB-LOC\nth::\tO\nth:\tO\n\nth:a\tI-ORG\n\n")
    assert len(read(catalog, "panx", "train", "en", tmp_path)) == 2
    test = read(catalog, "panx", "test", "th", tmp_path)
    assert [(e.tokens, e.tags) for e in test.examples] == [
        (("กรุงเทพ", ":"), ("B-LOC", "O")),
        (("a",), ("I-ORG",)),
    ]
    assert test.counts == {"blank_tokens_dropped": 1}


def test_questions_of_all_three_sets(catalog: Catalog, tmp_path: Path) -> None:
    write(tmp_path, "squad/train-v1.1.json", squad(("1", "It is red.", "Hue?", "red"), title="T"))
    for name in ("xquad", "mlqa"):
        assert len(read(catalog, name, "train", "en", tmp_path)) == 1
    write(tmp_path, "xquad/xquad.th.json", squad(("2", "แดง", "สี?", "แดง")))
    assert read(catalog, "xquad", "test", "th", tmp_path).examples[0].answers[0].text == "แดง"
    write(tmp_path, "mlqa/MLQA_V1/test/test-context-hi-question-hi.json",
          squad(("3", "लाल है", "रंग?", "लाल")))  # fmt: skip
    assert read(catalog, "mlqa", "test", "hi", tmp_path).examples[0].id == "3"
    # The per-language training files of TyDiQA repeat their ids.
    rows = [("0", f"Fact {number} is here.", "Which?", f"{number}") for number in range(10)]
    write(tmp_path, "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json", squad(*rows))
    parts = [read(catalog, "tydiqa", split, "en", tmp_path).examples for split in ("train", "dev")]
    assert [len(part) for part in parts] == [9, 1]
    assert len({example.id for part in parts for example in part}) == 10
    for code, name in [("te", "telugu"), ("en", "english")]:
        file = f"tydiqa/tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{name}.json"
        write(tmp_path, file, squad((f"{name}-4-0", "abc", "?", "b")))
        assert read(catalog, "tydiqa", "test", code, tmp_path).examples[0].id == f"{name}-4-0"


def test_tatoeba_reads_lasers_files(catalog: Catalog, tmp_path: Path) -> None:
    write(tmp_path, "tatoeba/v1/tatoeba.pes-eng.pes", "سلام\nبله\n")
    write(tmp_path, "tatoeba/v1/tatoeba.pes-eng.eng", "Hello\nYes\n")
    found = read(catalog, "tatoeba", "test", "fa", tmp_path).examples
    assert [(e.sentence, e.english) for e in found] == [("سلام", "Hello"), ("بله", "Yes")]


def test_tatoeba_in_the_layout_of_the_docs(shared_data: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
    text = page.split("<!-- tatoeba-sorted.yaml -->\n```yaml\n")[1].split("```")[0]
    write(tmp_path, "own/targets/tatoeba-sorted.yaml", text)
    catalog = Catalog.load([default_directory(), tmp_path / "own"])
    root = tmp_path / "data"
    (root / "tatoeba").mkdir(parents=True)
    (root / "tatoeba/v1").symlink_to(shared_data / "tatoeba/v1")
    for file in (shared_data / "tatoeba/xtreme-shuffled").iterdir():
        (root / "tatoeba" / file.name).symlink_to(file)
    context = DataContext(root, language_iso3=catalog.language_iso3())
    target = catalog.target("tatoeba-sorted")
    for code in target.languages:
        found = load_scored(target, code, context).examples
        aligned = read(catalog, "tatoeba", "test", code, shared_data).examples
        assert [(e.sentence, e.english) for e in found] == [
            (e.sentence, e.english) for e in aligned
        ]
    # Nothing but the option makes the sorted side readable.
    write(tmp_path, "own/targets/tatoeba-sorted.yaml", text.replace("english: sorted", ""))
    unsorted = Catalog.load([default_directory(), tmp_path / "own"]).target("tatoeba-sorted")
    with pytest.raises(InputError, match="takes 2 files"):
        load_scored(unsorted, "af", context)


def test_bucc_takes_the_gold_of_its_test_from_the_release(catalog: Catalog, tmp_path: Path) -> None:
    for split, gold in (("dev", "ru-en.dev.gold"), ("test", "ru-en/ru-en.training.gold")):
        write(tmp_path, f"bucc2018/ru-en.{split}.ru", "ru-1\tДа.\nru-2\tНет.\n")
        write(tmp_path, f"bucc2018/ru-en.{split}.en", "en-1\tNo.\nen-2\tMaybe.\n")
        write(tmp_path, f"bucc2018/{gold}", "ru-2\ten-1\n")
        found = read(catalog, "bucc2018", split, "ru", tmp_path).examples
        assert [(e.side, e.key, e.sentence, e.partners) for e in found] == [
            ("foreign", "ru-1", "Да.", ()),
            ("foreign", "ru-2", "Нет.", ("en-1",)),
            ("english", "en-1", "No.", ()),
            ("english", "en-2", "Maybe.", ()),
        ]


def test_what_xtreme_emptied_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    write(tmp_path, "xquad/xquad.ar.json", squad(("1", "abc", "?", ""), ("2", "abc", "!", "")))
    with pytest.raises(InputError, match=r"xquad\.ar\.json: every answer is empty, so the gold is"):
        read(catalog, "xquad", "test", "ar", tmp_path)


@pytest.mark.parametrize(
    ("name", "language", "stripped", "place"),
    [
        ("xquad", "de", "xquad/unlabelled/xquad.de.json", "xquad/xquad.de.json"),
        ("mlqa", "es", "mlqa/unlabelled/test/test-context-es-question-de.json",
         "mlqa/MLQA_V1/test/test-context-es-question-es.json"),
        ("tydiqa", "sw", "tydiqa/unlabelled/tydiqa-goldp-v1.1-dev/tydiqa.goldp.sw.dev.json",
         "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-swahili.json"),
        ("panx", "th", "panx/test-th.tsv", "panx_dataset/th/test"),
    ],
)  # fmt: skip
def test_real_stripped_files_are_never_scored_as_zero(
    catalog: Catalog, shared_data: Path, tmp_path: Path, name: str, language: str, stripped: str,
    place: str,
) -> None:  # fmt: skip
    write(tmp_path, place, (shared_data / stripped).read_text(encoding="utf-8"))
    with pytest.raises(InputError, match=r"gold is withheld|1 columns, expected 2"):
        read(catalog, name, "test", language, tmp_path)


# -- what `bench files` scores: counts by plain code ----------------------------------------------


def lines(file: Path) -> list[str]:
    text = file.read_bytes().decode("utf-8-sig")
    return [line for line in text.split("\n") if line.strip()]


def table(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle, delimiter="\t"))


def sentences(file: Path) -> list[str]:
    """Sentences of a file with a token per line, each without its tags and spaces."""
    found = [""]
    for line in file.read_bytes().decode().split("\n"):
        if line.strip():
            found[-1] += line.split("\t")[0]
        elif found[-1]:
            found.append("")
    return [sentence for sentence in found if sentence]


def trees(file: Path) -> int:
    return sum(line.startswith("1\t") for line in lines(file))


def qas(file: Path) -> Iterator[dict[str, Any]]:
    for article in json.loads(file.read_bytes())["data"]:
        for paragraph in article["paragraphs"]:
            yield from paragraph["qas"]


def count(file: Path) -> int:
    return sum(1 for _ in qas(file))


def udpos_files(root: Path, language: str) -> int:
    if language == "de":
        return trees(root / "ud-treebanks-v2.5/UD_German-GSD/de_gsd-ud-test.conllu")
    return len(sentences(root / f"udpos/test-{language}.tsv"))


COUNTS: dict[str, Callable[[Path, str, Target], int]] = {
    "files-xnli": lambda root, code, _: len(lines(root / f"xnli/dev-{code}.tsv")),
    "files-xnli-test": lambda root, code, _: len(lines(root / f"xnli/test-{code}.tsv")),
    "files-pawsx": lambda root, code, _: len(table(root / f"pawsx/dev-{code}.tsv")[1000:1500]),
    "files-udpos": lambda root, code, _: udpos_files(root, code),
    "files-panx": lambda root, code, _: len(sentences(root / f"panx/dev-{code}.tsv")),
    "files-xquad": lambda root, code, _: count(root / f"xquad/xquad.{code}.json"),
    "files-mlqa": lambda root, code, _: count(
        root / f"mlqa/MLQA_V1/dev/dev-context-{code}-question-{code}.json"
    ),
    "files-mlqa-cross": lambda root, code, _: sum(
        count(file)
        for file in root.glob(f"mlqa/MLQA_V1/dev/dev-context-{code}-question-*.json")
        if not file.stem.endswith(f"-{code}")
    ),
    "files-tydiqa": lambda root, code, _: count(
        root / f"tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{code}.train.json"
    ),
}
KNOWN = {  # languages and scored rows in all
    "files-xnli": (15, 15 * 2490),
    "files-xnli-test": (15, 15 * 500),
    "files-pawsx": (7, 7 * 500),
    "files-panx": (39, 36 * 1000 + 3 * 100),
    "files-xquad": (9, 9 * 1190),
    "files-mlqa-cross": (5, 190 + 512 + 161 + 196 + 177 + 161),
    "files-tydiqa": (2, 1100 + 2000),
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_language_has_the_rows_of_its_file(
    catalog: Catalog, shared_data: Path, name: str
) -> None:
    target = catalog.target(name)
    found = {
        code: read(catalog, name, "test", code, shared_data) for code in target.languages
    }  # fmt: skip
    for code, data in found.items():
        expected = COUNTS[name](shared_data, code, target)
        assert len(data) == expected > 0, (name, code, data.counts)
        assert len({example.id for example in data.examples}) == len(data), (name, code)
    if name in KNOWN:
        assert (len(found), sum(map(len, found.values()))) == KNOWN[name]


def test_the_languages_that_are_left_out_have_no_gold(catalog: Catalog, shared_data: Path) -> None:
    official = {name: set(catalog.target(name).languages) for name in NUMBERS}
    own = {**{name: f"files-{name}" for name in NUMBERS}, "bucc2018": "files-bucc"}
    missing = {
        name: sorted(official[name] - set(catalog.target(own[name]).languages)) for name in NUMBERS
    }
    assert {name: codes for name, codes in missing.items() if codes} == {
        "panx": ["th"],
        "xquad": ["th", "tr"],
        "tydiqa": ["ar", "bn", "en", "fi", "id", "ru", "te"],
        "bucc2018": ["de", "fr", "ru"],
    }
    assert not (shared_data / "bucc2018" / "de-en.dev.de").exists()
    assert not (shared_data / "panx" / "dev-th.tsv").exists()
    assert not any((shared_data / f"xquad/xquad.{code}.json").exists() for code in ("th", "tr"))


def plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(folded.split())


@pytest.mark.slow
def test_training_never_holds_a_scored_sentence(catalog: Catalog, shared_data: Path) -> None:
    target = catalog.target("files-panx")
    found = [one for one in splits(target) if one.split in ("test", "keep_out")]
    scored = [one.read(DataContext(shared_data)) for one in found]
    english = sentences(shared_data / "panx/train-en.tsv")
    assert len(english) == 20000
    files = [*shared_data.glob("panx/dev-*.tsv"), *shared_data.glob("panx/test-*.tsv")]
    assert len(files) == len(scored) == 39 + 40
    everywhere = {plain(sentence) for file in files for sentence in sentences(file)}
    for split, rows in (("train", english[:-2000]), ("dev", english[-2000:])):
        data = drop_overlap(read(catalog, target.name, split, "en", shared_data), scored)
        assert len(data) == sum(plain(row) not in everywhere for row in rows)
        assert data.counts["overlap_dropped"] == len(rows) - len(data) > 0


def test_parallel_rows_never_train_and_score(catalog: Catalog, shared_data: Path) -> None:
    rows = {
        split: read(catalog, "files-pawsx", split, "en", shared_data).examples
        for split in ("train", "dev", "test")
    }
    assert {split: len(found) for split, found in rows.items()} == {
        "train": 900, "dev": 100, "test": 500,
    }  # fmt: skip
    groups = {split: {example.group for example in found} for split, found in rows.items()}
    assert groups["test"].isdisjoint(groups["train"] | groups["dev"])
    french = read(catalog, "files-pawsx", "test", "fr", shared_data).examples
    assert [example.group for example in french] == [example.group for example in rows["test"]]
    expected = table(shared_data / "pawsx/dev-fr.tsv")[1000:1500]
    assert [[e.premise, e.hypothesis, e.label] for e in french] == expected


def test_gold_of_the_korean_test_set_fits_other_languages(
    catalog: Catalog, shared_data: Path
) -> None:
    for code in ("sw", "ur"):  # these have labels of their own elsewhere
        header, *rows = table(shared_data / f"xnli_labelled_myxnli/{code}.genre.test.tsv")
        label = header.index("label")
        found = read(catalog, "files-xnli-test", "test", code, shared_data).examples
        assert [example.label for example in found] == [row[label] for row in rows[:500]]
