"""Sources of tags on the real files: rows, first and last record, labels, what befell rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.catalog import Catalog, Source
from harness.data import DataContext, Dataset, TaggingExample, find_files, load_source, splits
from harness.data.labels import with_labels
from harness.errors import InputError

FOLDERS = ("klue/klue-ner-v1.1", "masakhaner", "masakhapos", "panx", "pmb_ccg", "udpos",
           "ud-treebanks-v2.5")  # fmt: skip
TASKS = ("ner", "pos", "supertags")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture(scope="module")
def context(catalog: Catalog, shared_data: Path) -> DataContext:
    return DataContext(shared_data, language_iso3=catalog.language_iso3())


def tagged(catalog: Catalog) -> list[Source]:
    return [s for s in catalog.sources.values() if s.task in TASKS and not s.world]


def sentences(dataset: Dataset) -> list[TaggingExample]:
    assert all(isinstance(example, TaggingExample) for example in dataset.examples)
    return list(dataset.examples)  # type: ignore[arg-type]


def blocks(file: Path, comment: str = "\0") -> Iterator[list[list[str]]]:
    """The cells of the lines between blank lines, read without any of the readers."""
    for block in re.split(r"\n[ \t]*\n", file.read_text(encoding="utf-8").replace("\r\n", "\n")):
        lines = [line for line in block.split("\n") if line and not line.startswith(comment)]
        if lines:
            yield [re.split(r"[\t ]", line) for line in lines]


# name, rows of train and dev, words of the first training sentence, words of the last dev sentence
# (both as the file writes them), and their tags as far as they are short
RECORDS = [
    ("masakhaner.sw", 1000, 300,
     "Wizara/B-ORG ya/I-ORG afya/I-ORG ya/I-ORG Tanzania/I-ORG imeripoti/O Jumatatu/O kuwa/O ,/O",
     "kumi/O na/O mbili/O asubuhi/O ./O"),
    ("masakhaner.yo", 1000, 305, "Kò/O sí/O ẹ̀rí/O tí/O ó/O fi/O ẹsẹ̀/O rinlẹ̀/O ./O",
     "akọrin/O pàtàkì/O mọ́/O ./O"),
    ("masakhaner.ha", 1000, 276,
     "A/O saurari/O cikakken/O rahoton/O wakilin/O Muryar/B-ORG Amurka/I-ORG Ibrahim/B-PER "
     "Abdul'aziz/I-PER", "2019/O idan/O aka/O tsara/O shi/O da/O kyau/O ./O"),
    ("files-masakhaner.ig", 288, 32, "N'oge/O mbụ/O ,/O ụmụnwaanyị/O", "m/O \"\"\"\"/O ./O"),
    ("files-masakhaner.am", 225, 25, "እንደ/O ኤለርስ/B-LOC አብዛኞቹ/O የአፍሪቃ/B-LOC", "ነበር/O ።/O"),
    ("files-masakhaner.pcm", 275, 31, "As/O a/O result/O ,/O",
     "Davido/B-PER ,/O Iyanya/B-PER and/O J/B-PER ./I-PER Martins/I-PER ./O"),
    ("files-klue_ner.ko", 540, 60, "경찰은/B-ORG 또/O 성매매/O 알선/O 자금을/O 관리한/O "
     "박씨의/B-PER 딸(32)과/O 성매매/O 여성/O 김모(33)씨/B-PER 등/O 16명을/O 같은/O",
     "한/O 남성이/O 등장했다./O"),
    ("panx.af", 270, 30, "Sy/O ander/O seun/O ,/O Swjatopolk/B-PER ,/O", "./O"),
    ("panx.jv", 90, 10, "Dhèwèké/O dikanonisasi/O déning/O Paus/B-PER Nikolas/I-PER I/I-PER ./O",
     "ALIH/O Dhéwan/B-ORG Kaamanan/I-ORG PBB/I-ORG"),
    ("panx.en", 18000, 2000, "R.H./B-ORG Saunders/I-ORG (/O St./B-ORG Lawrence/I-ORG River/I-ORG",
     "List/B-ORG of/I-ORG regional/I-ORG mammals/I-ORG lists/I-ORG"),
    ("panx.sw", 270, 30, "'/O ''/O Täby/O ''/O '/O ni/O manispaa/O Uswidi/B-LOC ./O",
     "John/B-PER F./I-PER Kennedy/I-PER"),
    ("udpos_xtreme.en", 3000, 120, "Al/PROPN -/PUNCT Zaman/PROPN :/PUNCT American/ADJ forces/NOUN",
     "No/DET communications/NOUN nothing/PRON ./PUNCT"),
    ("files-udpos.bg", 108, 12, "Щом/SCONJ се/PRON наям/VERB ,/PUNCT ставам/VERB ./PUNCT",
     "Да/AUX знаех/VERB ,/PUNCT щях/VERB да/AUX дойда/VERB ./PUNCT"),
    ("files-udpos.ta", 72, 8, "சாதாரண/ADJ ,/PUNCT சாமானிய/ADJ", "செய்துள்ளது/VERB ./PUNCT"),
    ("udpos_sequoia.fr", 500, 60, "Gutenberg/PROPN", "ou/CCONJ pour/ADP perfusion/NOUN ./PUNCT"),
    # LinES 700 and ParTUT 1,200; the dev set has EWT, too
    ("udpos.en", 1900, 276, "Show/VERB All/PRON", "is/AUX often/ADV used/VERB ./PUNCT"),
    ("udpos.kk", 27, 4, "Шолпан/PROPN Сәрсенбайға/PROPN шыққан/VERB жылы/NOUN",
     "үміткер/NOUN ретінде/ADP қарастырылмады/VERB ./PUNCT"),
    ("udpos.et", 270, 30, "Dell/PROPN ,/PUNCT maailma/NOUN", "tavalisi/ADJ asju/NOUN ?/PUNCT"),
    ("udpos.tr", 300, 60, "Yasal/ADJ Valium/PROPN ,/PUNCT",
     "özlemimden/NOUN doğuyor/VERB ./PUNCT"),
    ("files-udpos.en", 1900, 216, "Distribution/NOUN of/ADP this/DET",
     "on/ADP a/DET total/ADJ ./PUNCT"),
    ("masakhapos.bm", 775, 154, "Muso/NOUN ŋana/ADJ ,/PUNCT Afiriki/NOUN",
     "perezidanmuso/NOUN ye/PART ./PUNCT"),
    ("masakhapos.ee", 728, 145, "CEMAC/PROPN :/PUNCT Dukplɔla/NOUN siwo/SCONJ le/VERB",
     "gblem/VERB fifia/ADV ŋuti/ADP ./PUNCT"),
    ("pmb_ccg.en", 5048, 1174, r"A/np/n girl/n is/(s:dcl\np)/(s:ng\np) styling/(s:ng\np)/np",
     r"I/np started/(s:dcl\np)/(s:ng\np) sweating/s:ng\np ./."),
    ("pmb_ccg.de", 1741, 559, r"Alfred~Nobel/n erfand/(s:dcl\np)/np 1866/(s:dcl\np)\(s:dcl\np)",
     r"eine/np/n Bachstelze/n ./s:dcl\s:dcl"),
    ("pmb_ccg.it", 685, 540, r"La/np/n gonna/n rossa/n\n è/(s:dcl\np)/(s:adj\np)",
     r"Tom/n ballava/s:dcl\np ./s:dcl\s:dcl"),
    ("pmb_ccg.nl", 539, 438, r"Kapitein/n/n Scott/n bereikte/(s:dcl\np)/np Scotteiland/n",
     r"mijn/np/(n/pp) appartement/n/pp af/pr ./s:dcl\s:dcl"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "train", "dev", "first", "last"), RECORDS)
def test_rows_first_and_last_record(
    catalog: Catalog, context: DataContext, name: str, train: int, dev: int, first: str, last: str
) -> None:
    source = catalog.source(name)
    found = [sentences(load_source(source, split, context)) for split in ("train", "dev")]
    assert [len(rows) for rows in found] == [train, dev]
    for example, text, ends in ((found[0][0], first, False), (found[1][-1], last, True)):
        assert example.tags is not None
        expected = [tuple(pair.split("/", 1)) for pair in text.split(" ") if pair]
        rows = [(word.replace(" ", "~"), tag)
                for word, tag in zip(example.tokens, example.tags, strict=True)]  # fmt: skip
        part = rows[len(rows) - len(expected) :] if ends else rows[: len(expected)]
        assert part == expected
        assert example.language == source.language


# Labels of the YAML that none of its rows here has: tags that the treebank does not use, or that
# are too rare for the first sentences of it.
ABSENT = {
    "masakhapos.ee": {"AUX", "X"}, "udpos.af": {"INTJ"}, "udpos.el": {"INTJ", "SYM"},
    "udpos.et": {"PART", "X"}, "udpos.hu": {"SYM"}, "udpos.kk": {"INTJ", "PART", "SYM"},
    "udpos.ko": {"INTJ", "PART", "SCONJ"}, "udpos.mr": {"PART", "SYM", "X"},
    "udpos.ta": {"INTJ", "SCONJ", "SYM", "X"}, "udpos.te": {"AUX", "SYM", "X"},
    "udpos.tr": {"PART", "SCONJ", "SYM"}, "udpos.vi": {"ADV", "PRON", "SYM"},
}  # fmt: skip


def test_every_label_occurs_or_is_explained(catalog: Catalog, context: DataContext) -> None:
    seen: dict[str, set[str]] = {}
    for source in tagged(catalog):
        try:
            sets = [load_source(source, split, context) for split in ("train", "dev")]
        except InputError:
            assert _lacks(source, context), source.name
            continue
        if not source.name.startswith("files-udpos."):  # 120 sentences have few of the rare tags
            tags = {tag for one in sets for row in sentences(one) for tag in row.tags or ()}
            seen[source.name] = set(with_labels(source, context).labels) - tags
    assert len(seen) == 39 + 3 + 3 + 1 + 12 + 2 + 2 + 4
    assert {name: absent for name, absent in seen.items() if absent} == ABSENT


def _lacks(source: Source, context: DataContext) -> bool:
    """Whether a file of its training or dev rows is not there."""
    files = [there for split in splits(source) for _, there in split.files(context)]
    return not all(files)


def test_what_is_not_here_has_a_stand_in_that_is(catalog: Catalog, context: DataContext) -> None:
    missing = {source.name for source in tagged(catalog) if _lacks(source, context)}
    assert len(missing) == 18 + 3 + 1 + 1
    for name in missing:
        names = {"ccg.en": "pmb_ccg.en"}
        other = catalog.source(names.get(name, f"files-{name}"))
        assert not _lacks(other, context), name
        assert (other.task, other.language) == (
            catalog.source(name).task,
            catalog.source(name).language,
        )
    assert catalog.source("pmb_ccg.en").stand_in == "ccg.en"


UNLABELLED = ("af", "de", "en", "ja", "th", "yo")


def test_every_file_of_tags_is_read_by_a_yaml(catalog: Catalog, context: DataContext) -> None:
    root = context.root
    assert root is not None
    read = set()
    for owner in (*catalog.sources.values(), *catalog.targets.values()):
        for split in () if owner.world else splits(owner):
            for language, spec in split.parts:
                for piece in spec.pieces(language):
                    read |= {f for _, there in find_files(piece, language, context) for f in there}
    files = {file for folder in FOLDERS for file in (root / folder).rglob("*") if file.is_file()}
    left = {str(f.relative_to(root)) for f in files - read if f.name != "LICENSE.txt"}
    # Test files as XTREME hands them out, without tags; their sentences stand in udpos/test-*.tsv.
    assert left == {f"udpos/unlabelled/test-{code}.tsv" for code in UNLABELLED}


@pytest.mark.parametrize("name", ["masakhaner.sw", "masakhaner.yo", "masakhaner.ha"])
def test_dates_are_no_entities_and_are_counted(
    catalog: Catalog, context: DataContext, name: str
) -> None:
    source = catalog.source(name)
    assert context.root is not None
    for split in ("train", "dev"):
        spec = source.train if split == "train" else source.dev
        tags = Counter(row[1] for block in blocks(context.root / spec.files[0]) for row in block)
        dates = tags.pop("B-DATE") + tags.pop("I-DATE")
        tags["O"] += dates
        dataset = load_source(source, split, context)
        assert dataset.counts == {"tags_mapped_to_O": dates}
        assert Counter(tag for row in sentences(dataset) for tag in row.tags or ()) == tags


def test_klue_is_what_its_comments_say(catalog: Catalog, context: DataContext) -> None:
    """Each sentence stands in the file twice: by character, and with its entities in a comment."""
    assert context.root is not None
    file = context.root / "klue/klue-ner-v1.1/klue-ner-v1.1_dev.tsv"
    expected, lost = [], 0
    for line in file.read_text(encoding="utf-8").split("\n"):
        if line.startswith("## klue-ner"):
            words, dropped = _annotated(line.split("\t", 1)[1])
            expected.append(words)
            lost += dropped
    dataset = load_source(catalog.source("klue_ner.ko"), "dev", context)
    found = [list(zip(row.tokens, row.tags or (), strict=True)) for row in sentences(dataset)]
    assert found == expected
    dates = re.findall(r"\t[BI]-(?:DT|TI|QT)\n", file.read_text(encoding="utf-8"))
    assert dataset.counts == {"entities_within_words_lost": lost, "tags_mapped_to_O": len(dates)}
    assert lost == 24


def _annotated(text: str) -> tuple[list[tuple[str, str]], int]:
    """Words and tags of `<Tom:PS>ga <Jeju:LC>-do` and the like, and entities without a word."""
    kinds = {"PS": "PER", "OG": "ORG", "LC": "LOC"}
    characters: list[tuple[str, int, str]] = []
    for number, part in enumerate(re.split(r"(<[^<>]+?:(?:PS|OG|LC|DT|TI|QT)>)", text)):
        entity = re.fullmatch(r"<(.+):(..)>", part, re.DOTALL)
        kind = kinds.get(entity[2], "") if number % 2 and entity else ""
        shown = entity[1] if number % 2 and entity else part
        characters += [(character, number, kind) for character in shown]
    words: list[tuple[str, str]] = []
    used: set[int] = set()
    for word in re.finditer(r"[^ ]+", "".join(character for character, _, _ in characters)):
        inside = [one for one in characters[word.start() : word.end()] if one[2]]
        tag = "O"
        if inside:
            tag = f"{'I' if inside[0][1] in used else 'B'}-{inside[0][2]}"
            used.add(inside[0][1])
        words.append((word[0], tag))
    return words, len({number for _, number, kind in characters if kind} - used)


@pytest.mark.parametrize(
    ("language", "train"), [("en", 464), ("de", 285), ("it", 229), ("nl", 211)]
)
def test_rare_categories_become_other(
    catalog: Catalog, context: DataContext, language: str, train: int
) -> None:
    """Labels are the categories with ten tokens in training, counted here from the file."""
    source = catalog.source(f"pmb_ccg.{language}")
    assert context.root is not None
    folder = context.root / f"pmb_ccg/4.0.0/{language}/gold"
    here = {
        split: Counter(row[4] for block in blocks(folder / f"{split}.conll", "#") for row in block)
        for split in ("train", "dev")
    }
    frequent = {tag for tag, number in here["train"].items() if number >= 10}
    assert with_labels(source, context).labels == (*sorted(frequent), "other")
    for split, counts in here.items():
        rare = sum(number for tag, number in counts.items() if tag not in frequent)
        dataset = load_source(source, split, context)
        assert dataset.counts == {"labels_to_other": rare}
        assert split == "dev" or rare == train
        tags = Counter(tag for row in sentences(dataset) for tag in row.tags or ())
        assert tags["other"] == rare
        assert {tag: tags[tag] for tag in frequent} == {tag: counts[tag] for tag in frequent}


def test_files_have_the_rows_that_their_own_blank_lines_say(
    catalog: Catalog, context: DataContext
) -> None:
    """PAN-X and the treebanks: as many sentences as blocks of lines, no word lost."""
    assert context.root is not None
    for source in tagged(catalog):
        if _lacks(source, context) or source.name.split(".")[0] not in ("panx", "files-udpos"):
            continue
        if source.name == "files-udpos.en":  # CoNLL-U, whose words are fused
            continue
        words = [[row[0] for row in block] for block in
                 blocks(context.root / source.train.files[0])]  # fmt: skip
        found = [load_source(source, split, context) for split in ("train", "dev")]
        read = [list(row.tokens) for one in found for row in sentences(one)]
        assert read == words, source.name
        assert [one.counts for one in found] == [{}, {}]


def test_sizes_are_those_of_the_whole_files(catalog: Catalog, shared_data: Path) -> None:
    """Where the manifest knows a file's total, the size of what reads it is that (or its parts)."""
    totals = {}
    for line in (shared_data / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        path, kept, cut, *_ = line.split("\t")
        if path.startswith(FOLDERS):
            totals[path] = int(cut.split("/")[1]) if cut else int(kept)
    checked = 0
    for source in tagged(catalog):
        size = source.size
        for spec, rows in ((source.train, size and size.train), (source.dev, size and size.dev)):
            if not rows or not all(file in totals for file in spec.files):
                continue
            whole = sum(totals[file] for file in spec.files)
            if spec.part is not None:
                share = whole * 9 // 10
                whole = share if spec.part.stop == 0.9 else whole - share
            if source.name == "pmb_ccg.en" or (source.name, whole) in DOCUMENTS:
                continue
            assert rows == whole, source.name
            checked += 1
    assert checked > 150


# The manifest counts documents of the Parallel Meaning Bank, the size sentences.
DOCUMENTS = {("pmb_ccg.de", 1738), ("pmb_ccg.nl", 437)}
