"""Sources of span questions on the real files: rows, answers mended and dropped, first and last."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import Catalog, Source
from harness.data import DataContext, Dataset, load_split

SQUAD_2 = "squad_v2/dev-v2.0.json"
ES_1 = "squad_es/SQuAD-es-v1.1/dev-v1.1-es_small.json"
ES_2 = "squad_es/SQuAD-es-v2.0/dev-v2.0-es_small.json"
IT = "squad_it/SQuAD_it-test.json.gz"
ARCD = "arcd/arcd-train.json"
TRIAL = "cmrc2018/squad-style-data/cmrc2018_trial.json"
CMRC = "cmrc2018/squad-style-data/cmrc2018_dev.json"
DRCD = "drcd/DRCD_dev.json"
JSQUAD = "jglue/jsquad-v1.3/valid-v1.3.json"
PARSINLU = "parsinlu/reading_comprehension/dev.json"
TYDIQA = "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{}.train.json"

# Of the whole of its files: questions, unanswerable ones, answers mended, dropped, empty, and
# questions left without an answer. Wrong offsets are mended plus dropped, as the data's list says.
FILES = {
    SQUAD_2: (4813, 2519, 0, 0, 0, 0),
    ES_1: (2995, 0, 0, 0, 1811, 0),
    ES_2: (2719, 1242, 0, 0, 807, 0),
    IT: (7609, 0, 62, 36, 11, 10),
    ARCD: (693, 0, 0, 3, 0, 3),
    TRIAL: (1002, 0, 5, 0, 0, 0),
    CMRC: (983, 0, 7, 88, 0, 0),
    DRCD: (2062, 0, 0, 0, 0, 0),
    JSQUAD: (4041, 0, 0, 0, 0, 0),
    PARSINLU: (125, 0, 0, 0, 0, 0),
    TYDIQA.format("en"): (1400, 0, 0, 0, 0, 0),
    TYDIQA.format("ko"): (1100, 0, 0, 0, 0, 0),
    TYDIQA.format("sw"): (2000, 0, 0, 0, 0, 0),
}
# Source: files of train, file of dev, rows of train and dev; the first training row and the last
# that selects, each with its id, start of its question, first answer and where that starts.
SOURCES: dict[str, tuple[tuple[str, ...], str, int, int, tuple[Any, ...], tuple[Any, ...]]] = {
    "files-squad_v2.en": (
        (SQUAD_2,), SQUAD_2, 4065, 748,
        ("68cf05f67fd29c6f129fe2fb9", "In what country is Normandy", "France", 159),
        ("ff949fe12e83acef6b470eb5f", " What ended French imperial", None, None),
    ),
    "files-squad_es.es": (
        (ES_1,), ES_1, 2826, 169,
        ("56be4db0acb8001400a502ec", "¿Qué equipo de la NFL", "Denver Broncos", 165),
        ("5725ff8238643c19005acf4d", "¿Qué ciudad está planeada", "Fresno", 577),
    ),
    "files-squad_es_v2.es": (
        (ES_2,), ES_2, 2433, 286,
        ("56ddde6b9a695914005b9628", "¿En qué país se encuentra", "Francia", 146),
        ("5a55319c134fea001a0e19bd", "¿Por qué OC-12c fue", None, None),
    ),
    "files-squad_it.it": (
        (IT,), IT, 2267, 831,
        ("5725b33f6a3fe71400b8952d", "Quando è iniziata la crisi", "ottobre 1973", 43),
        ("572885c44b864d1900164a7c", "Qual era il nome cinese", "Zhongshu Sheng", 276),
    ),
    "arcd.ar": (
        (ARCD,), ARCD, 619, 71,
        ("969331847966", " - من هو جمال أحمد", "صحفي وإعلامي", 73),
        ("155290803570", "متى استخدم الشكل المختصر", "بدءاً من عام 1958،", 891),
    ),
    "files-cmrc2018.zh": (
        (TRIAL, CMRC), CMRC, 1002 + 889, 94,
        ("TRIAL_800_QUERY_0", "生命数耗完即算为什么？", "踢爆", 127),
        ("DEV_304_QUERY_3", "2010年3月，布拉德利宣布", "犹他州", 767),
    ),
    "files-drcd.zh": (
        (DRCD,), DRCD, 1954, 108,
        ("1147-5-1", "陸特和漢斯雷頓開創了", "歐洲", 1),
        ("5508-5-3", "哪一個人在1961年時", "烏布利希", 261),
    ),
    "files-jsquad.ja": (
        (JSQUAD,), JSQUAD, 3870, 171,
        ("a10336p0q0", "日本で梅雨がないのは", "小笠原諸島", 25),
        ("a51481p9q2", "稲葉浩美は2004年10月から", "飛び込みマイク", 43),
    ),
    "files-parsinlu_rc.fa": (
        (PARSINLU,), PARSINLU, 112, 13,
        ("8442789a-182d-4638-983a-8f2f381784a8", "کدام مرزها هنوز", "اسپانیا و پرتغال", 595),
        ("9314846d-a201-498a-8bb6-2238e7792711", "ویتامین آ در چه",
         "جعفری، کدو، اسفناج، کاهو و شاهی", 12),
    ),
    "tydiqa.en": (
        (TYDIQA.format("en"),), TYDIQA.format("en"), 1264, 136,
        (f"{TYDIQA.format('en')}:0", "When was quantum field theory", "1920s", 159),
        (f"{TYDIQA.format('en')}:1399", "How many people attended the 2007", "64,020", 267),
    ),
    "tydiqa.ko": (
        (TYDIQA.format("ko"),), TYDIQA.format("ko"), 1009, 91,
        (f"{TYDIQA.format('ko')}:0", "2019년까지 월드컵은", "예정", 59),
        (f"{TYDIQA.format('ko')}:1099", "불교 창시자는", "고타마 붓다", 18),
    ),
    "tydiqa.sw": (
        (TYDIQA.format("sw"),), TYDIQA.format("sw"), 1862, 138,
        (f"{TYDIQA.format('sw')}:0", "Je,nchi gani yenye", "Brazili, Marekani na Meksiko", 132),
        (f"{TYDIQA.format('sw')}:1999", "Je, Mark Elliot Zuckerberg", "Harvard", 828),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture(scope="module")
def context(shared_data: Path) -> DataContext:
    """One for all, so that a file is read once for each of its parts."""
    return DataContext(shared_data)


def read(source: Source, split: str, context: DataContext) -> Dataset:
    spec = getattr(source, split)
    return load_split(spec, source.language, source.labels, context, f"{source.name}/{split}")


def tally(file: Path) -> Counter[str]:
    """What befalls the answers of a file, counted from its JSON."""
    found: Counter[str] = Counter()
    raw = file.read_bytes()
    document = json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw)
    for paragraph in [p for article in document["data"] for p in article["paragraphs"]]:
        text = paragraph["context"]
        for question in paragraph["qas"]:
            found["questions"] += 1
            if question.get("is_impossible"):
                found["unanswerable"] += 1
                continue
            usable = 0
            for answer in question["answers"]:
                words, start = answer["text"], answer["answer_start"]
                if not words.strip():
                    found["answers_empty"] += 1
                elif start >= 0 and text[start : start + len(words)] == words:
                    usable += 1
                elif text.count(words) == 1:
                    found["answers_mended"] += 1
                    usable += 1
                else:
                    found["answers_dropped"] += 1
            found["questions_dropped"] += not usable
    return found


@pytest.mark.parametrize("name", FILES)
def test_files_hold_what_the_list_of_the_data_says(shared_data: Path, name: str) -> None:
    keys = ("questions", "unanswerable", "answers_mended", "answers_dropped", "answers_empty",
            "questions_dropped")  # fmt: skip
    found = tally(shared_data / name)
    assert tuple(found[key] for key in keys) == FILES[name]


def outline(example: Any, expected: tuple[Any, ...]) -> tuple[Any, ...]:
    answer = example.answers[0] if example.answers else None
    start = example.question[: len(expected[1])]
    return (example.id, start, answer and answer.text, answer and answer.start)


@pytest.mark.parametrize("name", SOURCES)
def test_rows_of_a_source(catalog: Catalog, context: DataContext, name: str) -> None:
    train_files, dev_file, in_train, in_dev, first, last = SOURCES[name]
    source = catalog.source(name)
    train, dev = read(source, "train", context), read(source, "dev", context)
    assert (len(train), len(dev)) == (in_train, in_dev)
    if name in ("files-squad_it.it", "files-parsinlu_rc.fa", "arcd.ar"):  # whole files
        size = source.size
        assert size is not None
        assert (size.train, size.dev) == (in_train, in_dev)
    assert outline(train.examples[0], first) == first
    assert outline(dev.examples[-1], last) == last
    for data, files in ((train, train_files), (dev, (dev_file,))):
        # Answers are counted over the whole of the files, whatever part is taken.
        counted = [FILES[file] for file in files]
        fates = ("answers_mended", "answers_dropped", "answers_empty", "questions_dropped")
        sums = {key: sum(one[2 + at] for one in counted) for at, key in enumerate(fates)}
        assert data.counts == {key: value for key, value in sums.items() if value}
        unanswerable = any(not example.answerable for example in data.examples)
        assert unanswerable == any(one[1] for one in counted)
        for example in data.examples:
            assert bool(example.answers) == example.answerable
            for answer in example.answers:
                assert example.context.startswith(answer.text, answer.start)
    answers = {"answerable" if e.answerable else "unanswerable" for e in train.examples}
    assert set(source.labels or ["answerable"]) == answers


@pytest.mark.parametrize("name", SOURCES)
def test_no_article_both_trains_and_selects(
    catalog: Catalog, context: DataContext, name: str
) -> None:
    source = catalog.source(name)
    train, dev = read(source, "train", context), read(source, "dev", context)
    for key in ("group", "context"):
        both = {getattr(e, key) for e in train.examples} & {getattr(e, key) for e in dev.examples}
        assert not both, name
    ids = [example.id for example in (*train.examples, *dev.examples)]
    assert len(set(ids)) == len(ids)


def test_several_answers_are_kept_with_those_that_have_ids(
    catalog: Catalog, context: DataContext
) -> None:
    """DRCD numbers the answers of a question; CMRC's dev set has three of each."""
    drcd = read(catalog.source("files-drcd.zh"), "train", context).examples[0]
    assert [(a.text, a.start) for a in drcd.answers] == [("歐洲", 1), ("歐洲", 1)]
    cmrc = read(catalog.source("files-cmrc2018.zh"), "dev", context).examples[-1]
    assert [(a.text, a.start) for a in cmrc.answers] == [("犹他州", 767)] * 3


@pytest.mark.parametrize(
    ("name", "train", "dev", "labels", "licence"),
    [
        ("squad_v1.en", "squad/train-v1.1.json", "squad/dev-v1.1.json", 0, "CC BY-SA 4.0"),
        ("squad_v2.en", "squad_v2/train-v2.0.json", "squad_v2/dev-v2.0.json", 2, "CC BY-SA 4.0"),
        ("squad_es.es", "squad_es/SQuAD-es-v1.1/train-v1.1-es.json",
         "squad_es/SQuAD-es-v1.1/dev-v1.1-es.json", 0, "CC BY-SA 4.0"),
        ("squad_es_v2.es", "squad_es/SQuAD-es-v2.0/train-v2.0-es.json",
         "squad_es/SQuAD-es-v2.0/dev-v2.0-es.json", 2, "CC BY-SA 4.0"),
        ("squad_it.it", "squad_it/SQuAD_it-train.json.gz", IT, 0, "CC BY-SA 4.0"),
        ("cmrc2018.zh", "cmrc2018/squad-style-data/cmrc2018_train.json", CMRC, 0, "CC BY-SA 4.0"),
        ("drcd.zh", "drcd/DRCD_training.json", DRCD, 0, "CC BY-SA 3.0"),
        ("jsquad.ja", "jglue/jsquad-v1.3/train-v1.3.json", JSQUAD, 0, "CC BY-SA 4.0"),
        ("parsinlu_rc.fa", "parsinlu/reading_comprehension/train.json", PARSINLU, 0, "BY-NC-SA"),
    ],
)  # fmt: skip
def test_whole_releases(
    catalog: Catalog, tmp_path: Path, name: str, train: str, dev: str, labels: int, licence: str
) -> None:
    """Files under the release's names, one with an unanswerable question, are read whole."""
    source = catalog.source(name)
    assert (len(source.labels), source.split) == (labels, "train")
    assert licence in source.licence
    for place, word in ((train, "red"), (dev, "blue")):
        questions: list[dict[str, Any]] = [
            {"id": f"{word}-{n}", "question": "Which?", "answers": [
                {"text": word, "answer_start": 6}, {"text": word, "answer_start": 6}]}
            for n in range(3)
        ]  # fmt: skip
        if labels:
            questions[1] |= {"answers": [], "is_impossible": True, "plausible_answers": []}
        article = {"title": "T", "paragraphs": [{"context": f"It is {word}.", "qas": questions}]}
        text = json.dumps({"version": "x", "data": [article]}).encode()
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(gzip.compress(text) if place.endswith(".gz") else text)
    for split, word in (("train", "red"), ("dev", "blue")):
        found = read(source, split, DataContext(tmp_path)).examples
        assert [example.id for example in found] == [f"{word}-{n}" for n in range(3)]
        assert [e.answerable for e in found] == [True, not labels, True]
