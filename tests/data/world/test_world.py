"""The synthetic world: grammar facts, splits, spans, labels against a second implementation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.canonical import digest_stream
from harness.data.examples import (
    BitextExample,
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TaggingExample,
)
from harness.data.world import GROUPS, LANGUAGES, TASKS, World, documents, generate
from harness.data.world.drafts import draw_nli, draw_paraphrase, draw_plausible
from harness.data.world.inference import entailed
from harness.data.world.lexicon import ACC, BY, DET, IN, NEG, PASS, PAST, QUESTION, WHAT, WHERE
from harness.data.world.semantics import SPLITS, Name, NounPhrase, Proposition, split_of
from harness.errors import InputError

WORLD = World(0)
EVENT = Proposition(
    sense=2,
    synonym=0,
    subject=Name("PER", (3,)),
    object=NounPhrase(4, 1, adjective=5),
    place=Name("LOC", (20,)),
    time=None,
    negated=True,
    past=False,
)
LEGEND = {
    NEG: "not", ACC: "ACC", DET: "the", PASS: "PASS", PAST: "PAST", BY: "by", IN: "in",
    WHAT: "what", WHERE: "where", QUESTION: "Q",
    ("verb", 2, 0): "verb", ("name", 3, 0): "Ann", ("noun", 4, 1): "noun",
    ("adjective", 5, 0): "adj", ("name", 20, 0): "Rome",
}  # fmt: skip


def gloss(language: str, proposition: Proposition, asked: str | None = None) -> str:
    """The sentence with its words replaced by English glosses."""
    meaning = {WORLD.lexicons[language][concept]: word for concept, word in LEGEND.items()}
    words = WORLD.text(language, proposition, asked=asked).split()  # type: ignore[arg-type]
    return " ".join(meaning.get(word, word) for word in words)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("A0", "Ann not verb the adj noun in Rome ."),
        ("A1", "Ann not verb the adj noun in Rome ."),
        ("A2", "Ann not verb the noun adj in Rome ."),
        ("B0", "Ann Rome in adj noun ACC verb not ."),
        ("B2", "Ann Rome in noun adj ACC verb not ."),
        ("C0", "verb not Ann noun adj in Rome ."),
        ("C2", "Ann verb not noun adj ACC in Rome ."),
        ("D0", "Ann Rome in adj noun ACC not verb ."),
        ("D1", "Ann Rome in noun adj ACC not verb ."),
        ("D2", "Ann not verb adj noun ACC Rome in ."),
    ],
)
def test_word_order(language: str, expected: str) -> None:
    assert gloss(language, EVENT) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("A0", "the adj noun verb PAST PASS by Ann ."),
        ("B0", "adj noun Ann by verb PAST PASS ."),
        ("C0", "verb PAST PASS noun adj by Ann ."),
        ("D2", "adj noun verb PAST PASS Ann by ."),
    ],
)
def test_past_passive(language: str, expected: str) -> None:
    said = EVENT._replace(negated=False, past=True, passive=True, place=None)
    assert gloss(language, said) == expected


@pytest.mark.parametrize(
    ("language", "asked", "expected"),
    [
        ("A0", "object", "what Ann verb in Rome ?"),
        ("B0", "object", "Ann Rome in what ACC verb Q ?"),
        ("C0", "object", "what verb Ann in Rome ?"),
        ("D0", "place", "Ann where adj noun ACC verb Q ?"),
        ("A2", "place", "where Ann verb the noun adj ?"),
    ],
)
def test_questions(language: str, asked: str, expected: str) -> None:
    assert gloss(language, EVENT._replace(negated=False), asked) == expected


def test_a_number_takes_the_place_of_the_article() -> None:
    counted = EVENT._replace(negated=False, object=NounPhrase(4, 1, None, 7), place=None)
    assert gloss("A0", counted) == "Ann verb 7 noun ."


def test_organisations_may_end_in_a_company_word() -> None:
    words = WORLD.sentence("A0", EVENT._replace(subject=Name("ORG", (27,)))).words
    assert [word.ner for word in words[:3]] == ["B-ORG", "I-ORG", "O"]


def test_supertags_keep_the_logical_roles_in_the_passive() -> None:
    words = WORLD.sentence("A0", EVENT._replace(negated=False, passive=True, place=None)).words
    assert [word.sup for word in words] == [
        "DET:o", "A:o", "N:o", "V:passive", "VOICE", "P:by", "NAME:s", "PUNCT",
    ]  # fmt: skip


def test_cognates_fade_with_the_place_in_the_family() -> None:
    for family in "ABCD":
        head, near, far = (WORLD.lexicons[f"{family}{member}"] for member in range(3))
        shared = [sum(other[c] == head[c] for c in head) for other in (near, far)]
        assert len(head) > shared[0] > shared[1] > 0


def test_a_form_means_one_thing_in_all_languages_but_for_homographs() -> None:
    owners: dict[str, set[tuple[str, int, int]]] = {}
    for lexicon in WORLD.lexicons.values():
        for concept, form in lexicon.items():
            owners.setdefault(form, set()).add(concept)
    several = [concepts for concepts in owners.values() if len(concepts) > 1]
    assert several
    assert all(sorted(c[0] for c in concepts) == ["noun", "verb"] for concepts in several)


def test_groups_name_every_language_once() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(LANGUAGES)


# --- streams -----------------------------------------------------------------------------------


def texts_of(example: Example) -> str:
    """Everything that is read, without the gold."""
    if isinstance(example, PairExample):
        return f"{example.premise} | {example.hypothesis}"
    if isinstance(example, TaggingExample):
        return " ".join(example.tokens)
    if isinstance(example, SpanExample):
        return f"{example.question} | {example.context}"
    if isinstance(example, ChoiceExample):
        return " | ".join((example.context, *example.choices))
    assert isinstance(example, BitextExample)
    return f"{example.sentence} | {example.english}"


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_text_and_repeat_none(task: str) -> None:
    found = {}
    for split in SPLITS:
        found[split] = set()
        for language in LANGUAGES:
            texts = [texts_of(one) for one in generate(WORLD, task, language, 80, split)]
            assert len(set(texts)) == 80
            found[split].update(texts)
    for one, other in combinations(SPLITS, 2):
        assert not found[one] & found[other]


@pytest.mark.parametrize("task", TASKS)
def test_streams_are_pure_and_extend(task: str) -> None:
    short = list(generate(World(0), task, "C1", 20, "train"))
    long = list(generate(WORLD, task, "C1", 40, "train"))
    assert short == long[:20]
    assert len({one.id for one in long}) == 40
    others = [
        generate(World(1), task, "C1", 20, "train"),
        generate(WORLD, task, "C1", 20, "dev"),
        generate(WORLD, task, "C1", 20, "train", seed=1),
    ]
    for other in others:
        assert [texts_of(one) for one in other] != [texts_of(one) for one in short]


def test_streams_are_those_of_the_shipped_backbone() -> None:
    examples = (
        one for task in TASKS for name in ("A0", "D2") for one in generate(WORLD, task, name, 10)
    )
    assert digest_stream(examples) == (
        "a511f9c85aab4ab7a5ed04d443b98bd658b50ffd14f0c8fea7f864ab4c00dd1e"
    )


@pytest.mark.parametrize("task", TASKS)
def test_evaluation_sets_are_parallel(task: str) -> None:
    left, right = (list(generate(WORLD, task, name, 30, "test")) for name in ("A0", "C2"))
    assert [one.group for one in left] == [one.group for one in right]
    assert None not in {one.group for one in left}
    for one, other in zip(left, right, strict=True):
        if isinstance(one, PairExample | ChoiceExample):
            assert isinstance(other, PairExample | ChoiceExample)
            assert one.label == other.label
        if isinstance(one, BitextExample) and isinstance(other, BitextExample):
            assert one.english == other.english
    trained = list(generate(WORLD, task, "C2", 30, "train"))
    assert {one.group for one in trained} == {None}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", ["qa", "qa2"])
def test_spans_reproduce_their_answer(task: str, language: str) -> None:
    examples = [e for e in generate(WORLD, task, language, 100) if isinstance(e, SpanExample)]
    lexicon = WORLD.lexicons[language]
    around = {lexicon[one] for one in (ACC, DET, IN, BY, NEG)} | {".", "?"}
    for example in examples:
        assert example.answerable == bool(example.answers)
        for answer in example.answers:
            assert example.context[answer.start :].startswith(f"{answer.text} ")
            assert answer.start == 0 or example.context[answer.start - 1] == " "
            assert not around & set(answer.text.split())
    unanswerable = sum(not example.answerable for example in examples)
    assert unanswerable == 0 if task == "qa" else 20 <= unanswerable <= 48


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.kind == "tagging"])
def test_tags_are_declared_and_well_formed(task: str) -> None:
    seen: Counter[str] = Counter()
    for language in LANGUAGES:
        for example in generate(WORLD, task, language, 150):
            assert isinstance(example, TaggingExample)
            assert example.tags is not None
            assert len(example.tags) == len(example.tokens)
            seen.update(example.tags)
            for before, tag in zip(("O", *example.tags), example.tags, strict=False):
                if task == "ner" and tag.startswith("I-"):
                    assert before[1:] == tag[1:]
    unused = set(TASKS[task].labels) - set(seen)
    assert set(seen) <= set(TASKS[task].labels)
    # only questions have the first three, and places have one word each
    assert unused <= {"PRON", "WH", "Q", "I-LOC"}


@pytest.mark.parametrize("task", ["nli", "para", "mc", "mc2"])
def test_labels_are_balanced(task: str) -> None:
    labels = Counter(getattr(one, "label", None) for one in generate(WORLD, task, "A0", 3000))
    options = len(TASKS[task].labels) or TASKS[task].choices
    assert len(labels) == options
    assert all(abs(count / 3000 - 1 / options) < 0.04 for count in labels.values())


@pytest.mark.parametrize("task", ["nli", "para"])
def test_neither_length_nor_negation_of_the_hypothesis_tells_the_label(task: str) -> None:
    def guess(features: Sequence[tuple[object, str]]) -> float:
        train, dev = features[:6000], features[6000:]
        counts: dict[object, Counter[str]] = {}
        for feature, label in train:
            counts.setdefault(feature, Counter())[label] += 1
        best = {feature: count.most_common(1)[0][0] for feature, count in counts.items()}
        return sum(best.get(feature) == label for feature, label in dev) / len(dev)

    chance = 1 / len(TASKS[task].labels)
    negation = WORLD.lexicons["A0"][NEG]
    rows = []
    for example in generate(WORLD, task, "A0", 9000):
        assert isinstance(example, PairExample)
        words = example.hypothesis.split()
        rows.append(((len(words), negation in words), str(example.label)))
    assert guess(rows) < chance + 0.07


# --- meaning -----------------------------------------------------------------------------------


def thing_covers(general: NounPhrase | Name | None, specific: NounPhrase | Name | None) -> bool:
    """Whether `specific` may be mentioned as `general`."""
    if general is None:
        return True
    if isinstance(general, Name) or not isinstance(specific, NounPhrase):
        return general == specific
    return (
        general.category == specific.category
        and general.noun in (None, specific.noun)
        and general.adjective in (None, specific.adjective)
        and general.number == specific.number
    )


def covers(general: Proposition, specific: Proposition) -> bool:
    """Whether the positive `specific` makes the positive `general` true."""
    return (
        general.sense == specific.sense
        and general.past == specific.past
        and thing_covers(general.subject, specific.subject)
        and thing_covers(general.object, specific.object)
        and general.place in (None, specific.place)
        and general.time in (None, specific.time)
    )


def judge(premise: Proposition, hypothesis: Proposition) -> str:
    """A second reading of the relation, from the definition of the world's facts."""
    if premise.negated and hypothesis.negated:
        return "entailment" if covers(premise, hypothesis) else "neutral"
    if premise.negated or hypothesis.negated:
        negative, positive = sorted((premise, hypothesis), key=lambda one: not one.negated)
        return "contradiction" if covers(negative, positive) else "neutral"
    if covers(hypothesis, premise):
        return "entailment"
    opposite = hypothesis._replace(sense=hypothesis.sense ^ 1)
    if covers(opposite, premise):
        return "contradiction"
    said = hypothesis.object
    if said is not None and said.adjective is not None:
        turned = said._replace(adjective=said.adjective ^ 1)
        if covers(hypothesis._replace(object=turned), premise):
            return "contradiction"
    return "neutral"


def test_nli_labels_agree_with_a_second_judge() -> None:
    for split in SPLITS:
        rng = random.Random(split)
        for _ in range(2000):
            draft = draw_nli(WORLD, rng, split)
            assert judge(draft.first, draft.second) == draft.label, draft
            assert split_of(draft.first) == split


def test_paraphrases_are_those_of_equal_meaning() -> None:
    rng = random.Random("paraphrase")
    for _ in range(2000):
        draft = draw_paraphrase(WORLD, rng, "train")
        assert (draft.first.meaning == draft.second.meaning) == (draft.label == "1")
        assert draft.first != draft.second


def test_only_one_answer_is_plausible() -> None:
    rng = random.Random("plausible")
    for _ in range(500):
        draft = draw_plausible(WORLD, rng, "train")
        allowed = WORLD.semantics.object_categories[draft.context.sense]
        fits = [one.object is not None and one.object.category in allowed for one in draft.choices]
        assert fits == [index == draft.label for index in range(2)]


seeds = st.integers(0, 10**9)


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_a_rewriting_follows_and_keeps_the_tense(seed: int) -> None:
    rng = random.Random(seed)
    premise = WORLD.semantics.proposition(rng, None)
    assert judge(premise, entailed(rng, premise)) == "entailment"


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from(sorted(LANGUAGES)))
def test_spans_of_a_sentence_are_disjoint_and_inside(seed: int, language: str) -> None:
    drawn = WORLD.semantics.proposition(random.Random(seed), None)
    sentence = WORLD.sentence(language, drawn)
    covered = [place for span in sentence.spans.values() for place in range(*span)]
    assert len(covered) == len(set(covered))
    assert set(covered) < set(range(len(sentence.words)))
    assert ("place" in sentence.spans) == (drawn.place is not None)


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(0, 1), st.booleans())
def test_a_paraphrase_stays_in_its_split(seed: int, synonym: int, passive: bool) -> None:
    drawn = WORLD.semantics.proposition(random.Random(seed), None, transitive=True)
    assert split_of(drawn._replace(synonym=synonym, passive=passive)) == split_of(drawn)


def test_pretraining_text_holds_no_evaluation_premise() -> None:
    firsts = {one.segments[0] for one in documents(WORLD, 3000)}
    for language in LANGUAGES:
        for split in ("dev", "test"):
            for example in generate(WORLD, "nli", language, 100, split):
                assert isinstance(example, PairExample)
                assert example.premise not in firsts


def test_pretraining_text_follows_the_declared_shares() -> None:
    counts = Counter(one.language for one in documents(WORLD, 4000))
    assert counts["A0"] > counts["B0"] > counts["B1"] > counts["B2"] > 0
    assert {len(one.segments) for one in documents(WORLD, 50)} == {1, 2}


@pytest.mark.parametrize(
    ("task", "language", "split", "message"),
    [
        ("nope", "A0", "train", "choose one of: nli, para"),
        ("nli", "Z9", "train", "choose one of: A0, A1"),
        ("nli", "A0", "validation", "choose one of: train, dev, test"),
    ],
)
def test_wrong_names_are_refused_at_once(
    task: str, language: str, split: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        generate(WORLD, task, language, 1, split)  # type: ignore[arg-type]
