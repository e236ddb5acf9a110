"""Sources of NLI, paraphrase and topic on the real files: counts, first and last rows, groups.

The texts were copied from the files by hand; numbers of rows are counted here without our readers.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.catalog import Catalog, SplitSpec
from harness.data import DataContext, Dataset, load_split
from harness.data.examples import PairExample
from harness.errors import InputError

NLI = {"c": "contradiction", "e": "entailment", "n": "neutral"}
AMERICAN = ("aym", "bzd", "cni", "gn", "hch", "nah", "oto", "quy", "shp", "tar")
PAWSX = ("de", "en", "es", "fr", "ja", "ko", "zh")
SIB = {"de": "deu_Latn", "en": "eng_Latn", "sw": "swh_Latn", "tr": "tur_Latn", "zh": "zho_Hans"}

# Source, split: rows, start of the first premise, start of the last hypothesis, their two labels.
Row = tuple[str, str, int, str, str, str]
Read = Callable[[str, str], Dataset]
ROWS: list[Row] = [
    ("files-anli.en", "train", 900 + 540 + 540, "Linguistics is the scientific study",
     "When taking care of a dog like", "ce"),
    ("files-anli.en", "dev", 100 + 60 + 60, "Herrlisheim is a commune in the Bas-Rhin",
     "there are cases of men living in", "ne"),
    ("files-conjnli.en", "train", 560, "Historically, the Commission was run by three "
     "commissioners or fewer.", "Both songs were released as singles and", "nn"),
    ("files-conjnli.en", "dev", 63, "Combining folk, electronica,", "In 2006, it was", "en"),
    ("conjnli.en", "dev", 623, "Historically, the Commission", "In 2006, it was adapted", "nn"),
    ("files-mnli.en", "train", 6750, "The new rights are nice enough",
     "A CIO must be an operations specialist.", "ec"),
    ("files-mnli.en", "dev", 750, "Just as in ancient times, without the Ri",
     "Only paintings of 19th century philosophers", "cc"),
    ("files-snli.en", "train", 7200, "Two women are embracing while holding to",
     "A woman is playing sports.", "ne"),
    ("files-snli.en", "dev", 800, "A woman dressed in a blue tennis outfit",
     "The girl is drying off outside of the pool", "cc"),
    ("files-nli.en", "train", 6750 + 7200, "The new rights are nice enough",
     "A woman is playing sports.", "ee"),
    ("files-nli.en", "dev", 750 + 800, "Just as in ancient times,", "The girl is drying off", "cc"),
    ("files-kornli.ko", "train", 2241, '그리고 그가 말했다, "엄마,', "Decter은 늙었다.", "ne"),
    ("files-kornli.ko", "dev", 249, "대체품을 대체할 때 사용하지", "진술이 더 좋다.", "ee"),
    ("kornli.ko", "dev", 2490, '그리고 그가 말했다, "엄마, 저 왔어요."', "진술이 더 좋다.", "ne"),
    ("files-klue_nli.ko", "train", 1800, "흡연자분들은 발코니가 있는 방이면",
     "사그라다 파밀리아까지 가는데 걸어서", "cn"),
    ("files-klue_nli.ko", "dev", 200, "우리는 사그라다 파밀리아까지",
     "이동 통신사에 가입하는 고객들은", "ec"),
    ("klue_nli.ko", "dev", 2000, "흡연자분들은 발코니가", "이동 통신사에 가입하는", "cc"),
    ("files-ocnli.zh", "train", 2994, "现在,我代表国务院,向大会报告", "有人盛装出席", "ce"),
    ("files-ocnli.zh", "dev", 500, "身上裹一件工厂发的棉大衣,手插", "北京承办过亚运会", "ee"),
    ("ocnli.zh", "dev", 2360, "身上裹一件工厂发的棉大衣,手插", "逆城市化潮流凶猛出现", "ec"),
    ("files-jnli.ja", "train", 1620, "時計がついている場所に", "部屋のなかに机と照明が", "ne"),
    ("files-jnli.ja", "dev", 180, "部屋にデスクと椅子、", "キッチンは乱雑だ。", "ec"),
    ("jnli.ja", "dev", 1800, "時計がついている場所に", "キッチンは乱雑だ。", "nc"),
    ("indonli.id", "train", 2000, "Presiden Joko Widodo (Jokowi) menyampaikan",
     "Batu bara dapat ditemukan di Sumatera.", "ce"),
    ("indonli.id", "dev", 2197, "Manuskrip tersebut berisi tiga catatan",
     "Upacara penutupan Pesta Olahraga Asia 20", "ce"),
    ("indonli_mt.id", "train", 2500, "walkman saya pecah jadi saya marah",
     "tuduhan pemerkosaan anak itu berbeda", "en"),
    ("indonli_mt.id", "dev", 587, "um-hum um-hum yeah well eh saya",
     "jika dia mencalonkan diri sebagai", "ne"),
    ("farstail.fa", "train", 1800, "اولین انتقال و نفوذ طبیعی", "در مفهوم واژه جمهوری", "ee"),
    ("farstail.fa", "dev", 1537, "یکی از سرآمدانی که", "این هجرت ها، امکان ارتباط", "en"),
    ("files-myxnli.my", "train", 720, "ထို့နောက် သူက အမေ", "နျူရွန်များသည် အမှီအခိုကင်းစွာ", "nc"),
    ("files-myxnli.my", "dev", 80, "၁၅ စစ်သူကြီးသည်", "ငါ့ကို ဖမ်းဆုပ်ဖို့က", "nn"),
    ("files-myxnli.sw", "train", 720, "Naye akasema, Mama,", "Neurons hufanya kazi", "nc"),
    ("files-myxnli.sw", "dev", 80, "Kamanda anataka tufanye", "Anadhani kunikamata mimi", "nn"),
    ("files-myxnli.ur", "train", 720, "اور اس نے کہا امّی،", "نیوران آزادانہ طور", "nc"),
    ("files-myxnli.ur", "dev", 80, "کمانڈر ہمیں حرکت میں", "وہ سمجھتا ہے مجھے پکڑنا", "nn"),
    ("americasnli.aym", "train", 668, "Jupax sanwa: Mamita,", "Yaqhip jaqix qullqi", "nn"),
    ("americasnli.bzd", "train", 668, "Ẽnã ie' iche: ãmìx,", "Se' tso' dör i bikéitse", "nn"),
    ("americasnli.cni", "train", 592, "Iriori ikantiro: Ina,", "Otimimotana antaberentsi", "nn"),
    ("americasnli.gn", "train", 668, "Ha ha'e he'i: Mama,", "Oî tapicha oimo'âva", "nn"),
    ("americasnli.hch", "train", 668, "metá mik+ petay+: ne", "hipat+ te+teri meuteku", "nn"),
    ("americasnli.nah", "train", 526, "huan yehhua quiihtoh:", "Intla ticnequi tinechicoz,", "nn"),
    ("americasnli.oto", "train", 199, "xi nⴘdi biênâ: maMe", "nu-a ane tzeman yamⴘ", "nn"),
    ("americasnli.quy", "train", 668, "Hinaptinmi pay nirqa:", "Wakin runakunaqa", "nn"),
    ("americasnli.shp", "train", 668, "Jara neskata iki: tita,", "Jatiribi joniboanra", "nn"),
    ("americasnli.tar", "train", 668, "A’lí je aníli échiko:", "Ajarécho ko je ilá mapu", "nn"),
    ("americasnli.aym", "dev", 75, "Jichpachaw, IRT mä masix", "Irnaqir masinakaparux", "ce"),
    ("americasnli.bzd", "dev", 75, "Kukùn tã, e'köl IRT dör", "Be' kalépa ã ichèke", "ce"),
    ("americasnli.cni", "dev", 66, "Otimimotana osheki", "Oka itimantetari maaroni", "ec"),
    ("americasnli.gn", "dev", 75, "Vokoiete, peteî tapicha", "Ojejerure iñirûnguérape", "ce"),
    ("americasnli.hch", "dev", 75, "kwit+wa, xewit+ hamiku", "mepe inierie meme weiya", "ce"),
    ("americasnli.nah", "dev", 59, "Iyohyoc tlen ni 1 mayo", "motlatlanilia inicnihuan,", "ee"),
    ("americasnli.oto", "dev", 23, "Nu qhēya biumba", "maz guine axmeti, dimané", "cn"),
    ("americasnli.quy", "dev", 75, "Kamasniqlla, IRT nisqapi", "Llapa llamkaq masinkunatam", "ce"),
    ("americasnli.shp", "dev", 75, "Rama basimara, westiora", "Nonra yokatai jabe", "ce"),
    ("americasnli.tar", "dev", 75, "Sapú jiyáwiti bilé", "Mapu yua anócha anelíwa", "ce"),
    ("parsinlu_qqp.fa", "train", 1830, "چگونه می توانم کم کم وزن", "دانلود اهنگ مصطفی فتاحی", "10"),
    ("parsinlu_qqp.fa", "dev", 898, "چه زمانی باید گوشی را", "چگونه می توانم هوس هایم", "11"),
    ("files-pawsx.de", "train", 900, "Durch die Zusammenlegung", "Die Beleuchtung im", "11"),
    ("files-pawsx.en", "train", 900, "From the merger of the", "The lighting in the", "11"),
    ("files-pawsx.es", "train", 900, "El Consejo Shawnee Trail", "La iluminación de la", "11"),
    ("files-pawsx.fr", "train", 900, "De la fusion du Four", "L'éclairage de la peinture", "11"),
    ("files-pawsx.ja", "train", 900, "フォー・リバー地方議会と", "ルーブル美術館の絵画に", "11"),
    ("files-pawsx.ko", "train", 900, "Four Rivers 위원회와", "루브르 박물관 그림의 조명은", "11"),
    ("files-pawsx.zh", "train", 900, "Four Rivers 委员会与", "卢浮宫画作中的光线更为柔和", "11"),
    ("files-pawsx.de", "dev", 100, "James Henry Engley wurde", "Später, während des", "01"),
    ("files-pawsx.en", "dev", 100, "James Henry Engley was", "Later , during the attack", "01"),
    ("files-pawsx.es", "dev", 100, "James Henry Engley nació", "Luego, durante el ataque", "01"),
    ("files-pawsx.fr", "dev", 100, "James Henry Engley est", "Plus trad, lors de", "01"),
    ("files-pawsx.ja", "dev", 100, "ジェイムズ・ヘンリー・", "後に、アデマールへの攻撃中", "01"),
    ("files-pawsx.ko", "dev", 100, "James Henry Engley는", "차후에 Adhemar에 대한", "01"),
    ("files-pawsx.zh", "dev", 100, "詹姆斯·亨利·恩格利于", "后来，在袭击昂古莱姆", "01"),
]  # fmt: skip
# SIB-200: start of the first and of the last text of train, then of dev.
TOPICS = {
    "de": ("Die Türkei ist auf drei", "Ein interaktives Design", "Durch den Wechsel", "29 Prozent"),
    "en": ("Turkey is encircled by", "Interactive design", "With the change", "At the extremes of"),
    "sw": ("Uturuki imezungukwa na", "Ubunifu wa maingiliano", "Kwa mabadiliko", "Katika wingi wa"),
    "tr": ("Türkiye'nin üç tarafı", "Etkileşimli tasarım,", "Çeyrek mil", "Oylamanın uç"),
    "zh": ("土耳其三面环海：", "交互设计要求项目的", "从四分之一英里", "投票存在两极分化"),
}
# What the reader counts: rows without a majority, and texts that the files have empty.
COUNTS: dict[tuple[str, str], Mapping[str, int]] = {
    ("files-ocnli.zh", "train"): {"labels_dropped": 6},
    ("files-ocnli.zh", "dev"): {"labels_dropped": 40},
    ("ocnli.zh", "dev"): {"labels_dropped": 40},
    ("indonli_mt.id", "dev"): {"labels_dropped": 13},
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture(scope="module")
def read(catalog: Catalog, shared_data: Path) -> Read:
    """The split of a source as its YAML reads it, read once."""

    @functools.cache
    def run(name: str, split: str) -> Dataset:
        source = catalog.source(name)
        spec: SplitSpec = getattr(source, split)
        return load_split(spec, source.language, source.labels, DataContext(shared_data), name)

    return run


def pairs(found: Dataset) -> list[PairExample]:
    return [example for example in found.examples if isinstance(example, PairExample)]


def plain(file: Path) -> list[list[str]]:
    """The cells of a table with tabs, as they stand, without its header."""
    lines = file.read_text(encoding="utf-8-sig").split("\n")
    return [line.rstrip("\r").split("\t") for line in lines if line][1:]


@pytest.mark.parametrize(("name", "split", "count", "first", "last", "labels"), ROWS)
def test_rows(
    catalog: Catalog,
    read: Read,
    name: str,
    split: str,
    count: int,
    first: str,
    last: str,
    labels: str,
) -> None:
    found = read(name, split)
    examples = pairs(found)
    assert len(examples) == count
    assert examples[0].premise.startswith(first)
    assert examples[-1].hypothesis.startswith(last)
    expected = [NLI.get(label, label) for label in labels]
    assert [examples[0].label, examples[-1].label] == expected
    assert {example.label for example in examples} == set(catalog.source(name).labels)
    assert found.language == catalog.source(name).language
    if not name.startswith("files-pawsx"):
        assert found.counts == COUNTS.get((name, split), {})


@pytest.mark.parametrize("language", SIB)
def test_topics(catalog: Catalog, read: Read, shared_data: Path, language: str) -> None:
    texts, labels = [], catalog.source("sib200.en").labels
    for split, count in (("train", 701), ("dev", 99)):
        found = read(f"sib200.{language}", split)
        rows = plain(shared_data / "sib-200" / SIB[language] / f"{split}.tsv")
        examples = pairs(found)
        assert len(examples) == len(rows) == count
        assert [(e.group, e.label, e.premise, e.hypothesis) for e in examples] == [
            (f"sib200:{number}", label, text, "") for number, label, text in rows
        ]
        assert {example.label for example in examples} == set(labels)
        assert found.counts == {}
        texts += [examples[0].premise, examples[-1].premise]
    for text, start in zip(texts, TOPICS[language], strict=True):
        assert text.startswith(start)
    english = read("sib200.en", "train").examples
    other = read(f"sib200.{language}", "train").examples
    assert [one.group for one in english] == [one.group for one in other]


def test_every_source_that_can_be_read_here_is_in_these_tables(
    catalog: Catalog, shared_data: Path
) -> None:
    tested = {name for name, split, *_ in ROWS if split == "train"}
    tested |= {f"sib200.{language}" for language in SIB}
    readable = set()
    for source in catalog.sources.values():
        if source.world or source.task not in ("nli", "paraphrase", "topic"):
            continue
        files = [f for piece in source.train.pieces(source.language) for f in piece.files]
        if all((shared_data / f.replace("{language}", source.language)).is_file() for f in files):
            readable.add(source.name)
    assert readable == tested


def test_americasnli_names_the_rows_of_xnli(read: Read, shared_data: Path) -> None:
    """Each translated row has the label of the XNLI dev row whose number its id stands for."""
    table = plain(shared_data / "americasnli/dev/anli.dev.tsv")
    lines = (shared_data / "xnli/dev-en.tsv").read_text(encoding="utf-8").splitlines()
    gold = [line.split("\t")[2] for line in lines]
    counted = Counter(row[1] for row in table)
    assert len(gold) == 2490
    assert set(counted) == set(AMERICAN)
    for language in AMERICAN:
        examples = [
            example
            for split in ("train", "dev")
            for example in pairs(read(f"americasnli.{language}", split))
        ]
        assert len(examples) == counted[language]
        for example in examples:
            namespace, _, number = str(example.group).partition(":")
            assert (namespace, gold[int(number)]) == ("xnli", example.label)


@pytest.mark.parametrize("name", ["files-kornli.ko", "files-myxnli.my", "files-myxnli.ur"])
def test_translations_of_xnli_share_the_scored_rows(
    catalog: Catalog, read: Read, shared_data: Path, name: str
) -> None:
    target = catalog.target("files-xnli")
    scored = load_split(target.test, "sw", target.labels, DataContext(shared_data), "scored")
    gold = {example.group: example.label for example in pairs(scored)}
    for split in ("train", "dev"):
        examples = pairs(read(name, split))
        assert [gold[example.group] for example in examples] == [e.label for e in examples]


@pytest.mark.parametrize("language", PAWSX)
def test_pawsx_never_trains_on_a_scored_row(
    catalog: Catalog, read: Read, shared_data: Path, language: str
) -> None:
    target = catalog.target("files-pawsx")
    context = DataContext(shared_data)
    scored = load_split(target.test, language, target.labels, context, "scored")
    assert {example.group for example in scored.examples} == {
        f"pawsx-dev:{row}" for row in range(1000, 1500)
    }
    used = [
        example.group
        for split in ("train", "dev")
        for example in read(f"files-pawsx.{language}", split).examples
    ]
    assert used == [f"pawsx-dev:{row}" for row in range(1000)]
    file = shared_data / f"pawsx/dev-{language}.tsv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))
    for split, part in (("train", rows[:900]), ("dev", rows[900:1000])):
        empty = sum(not row[0].strip() or not row[1].strip() for row in part)
        counts = read(f"files-pawsx.{language}", split).counts
        assert counts == ({"empty_texts": empty} if empty else {})


def test_translated_mnli_keeps_the_ids_of_mnli(read: Read, shared_data: Path) -> None:
    found = read("indonli_mt.id", "train")
    assert [found.examples[0].id, found.examples[-1].id] == ["110116e", "122686n"]
    file = shared_data / "indonli/translate_train_small/dev.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    dev = read("indonli_mt.id", "dev")
    assert [e.id for e in dev.examples] == [x["pairid"] for x in lines if x["gold_label"] != "-"]


def test_declared_sizes_are_those_of_the_files(catalog: Catalog, read: Read) -> None:
    """Where the files here are whole; the manifest says which were cut."""
    cut = ("indonli.id", "indonli_mt.id", "farstail.fa")
    whole = {name for name, split, *_ in ROWS if split == "train" and name not in cut}
    for name in whole | {f"sib200.{language}" for language in SIB}:
        size = catalog.source(name).size
        assert size is not None, name
        here = [len(read(name, split)) for split in ("train", "dev")]
        assert [size.train, size.dev] == here, name
    for name, total in (("indonli.id", 10330), ("indonli_mt.id", 10330), ("farstail.fa", 7266)):
        size = catalog.source(name).size
        assert size is not None
        assert size.train == total


def test_a_missing_release_is_named_with_what_to_do(read: Read) -> None:
    for name, file in (
        ("klue_nli.ko", "klue/klue-nli-v1.1/klue-nli-v1.1_train.json"),
        ("xnli_mt.sw", "XNLI-MT-1.0/multinli/multinli.train.sw.tsv"),
    ):
        with pytest.raises(InputError, match=rf"{name} .*: no file {file} in .*data check"):
            read(name, "train")


@pytest.mark.parametrize("task", ["nli", "paraphrase", "topic"])
def test_documents_are_complete(catalog: Catalog, task: str) -> None:
    """Every source says whom to cite, how to get it, and where commerce may not use it."""
    sources = [one for one in catalog.sources.values() if one.task == task and not one.world]
    for source in sources:
        assert source.citation and source.get and "adapters" in source.settings, source.name
        restricted = re.search(r"BY-NC|Quora", source.licence)
        assert not restricted or "non-commercial" in source.licence, source.name
        assert source.name.startswith("files-") == source.split.startswith("files-"), source.name
    targets = [one for one in catalog.targets.values() if one.task == task and not one.world]
    labels = {one.labels for one in sources} | {one.labels for one in targets}
    assert len(labels) == 1  # one head fits them all


def test_topics_are_scored_in_every_language_of_xtreme(catalog: Catalog, shared_data: Path) -> None:
    target = catalog.target("sib200")
    context = DataContext(shared_data, language_iso3=catalog.language_iso3())
    folders, groups = set(), []
    for language in target.languages:
        found = pairs(load_split(target.test, language, target.labels, context, "scored"))
        (folder,) = {example.id.split("/")[1] for example in found}
        rows = plain(shared_data / "sib-200" / folder / "test.tsv")
        assert [[e.label, e.premise] for e in found] == [row[1:] for row in rows]
        folders.add(folder)
        groups.append([example.group for example in found])
    assert folders == {folder.name for folder in (shared_data / "sib-200").iterdir()}
    assert len(groups) == 40
    assert all(one == groups[0] and len(one) == 204 for one in groups)
    for split in (target.train, target.dev):
        assert split is not None
        trained = load_split(split, "en", target.labels, context, "trained")
        assert {e.group for e in trained.examples}.isdisjoint(groups[0])
