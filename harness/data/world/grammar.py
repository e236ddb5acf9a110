"""From a proposition to the words of a sentence, each with its tags, and the span of each role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from harness.data.world.languages import Language, WordOrder
from harness.data.world.lexicon import (
    ACC,
    BY,
    CORP,
    DET,
    IN,
    NEG,
    PASS,
    PAST,
    QUESTION,
    WHAT,
    WHERE,
    WHO,
    Concept,
)
from harness.data.world.semantics import Entity, Name, NounPhrase, Proposition

Role = Literal["subject", "object", "place"]

UPOS = ("ADJ", "ADP", "ADV", "DET", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "VERB")
IOB2 = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")
SUPERTAGS = (
    "N:s", "N:o", "A:s", "A:o", "NUM:s", "NUM:o", "DET:s", "DET:o", "NAME:s", "NAME:l",
    "V:active", "V:passive", "V:intransitive", "TENSE", "VOICE", "NEG", "CASE", "P:by", "P:in",
    "ADV", "WH", "Q", "PUNCT",
)  # fmt: skip

_SEQUENCE: dict[WordOrder, str] = {"SVO": "SVOLT", "SOV": "SLTOV", "VSO": "VSOLT"}


class Word(NamedTuple):
    """One word with its part of speech, its IOB2 entity tag and its role-sensitive supertag."""

    form: str
    pos: str
    ner: str
    sup: str


class Sentence(NamedTuple):
    """Words in order, and the span (first word, one past the last) of each role present."""

    words: list[Word]
    spans: dict[Role, tuple[int, int]]

    @property
    def forms(self) -> list[str]:
        """The words without their tags."""
        return [word.form for word in self.words]


Lexicon = Mapping[Concept, str]


def realise(
    language: Language,
    lexicon: Lexicon,
    proposition: Proposition,
    *,
    asked: Role | None = None,
    final: bool = True,
) -> Sentence:
    """The sentence in the language; with `asked`, the question for that role. `final`: . or ?"""
    passive = proposition.passive and proposition.object is not None
    first, second = _arguments(language, lexicon, proposition, asked, passive)
    parts: dict[str, list[Word]] = {
        "S": first,
        "V": _verb(language, lexicon, proposition, passive),
        "O": second,
        "L": _place(language, lexicon, proposition.place, asked),
        "T": [],
    }
    if proposition.time is not None:
        parts["T"] = [Word(lexicon["time", proposition.time, 0], "ADV", "O", "ADV")]
    roles: dict[str, Role] = {
        "S": "object" if passive else "subject",
        "O": "subject" if passive else "object",
        "L": "place",
    }
    sequence = _SEQUENCE[language.order]
    if asked and language.fronted_question_word:
        front = next(slot for slot, role in roles.items() if role == asked)
        sequence = front + sequence.replace(front, "")
    words: list[Word] = []
    spans: dict[Role, tuple[int, int]] = {}
    for slot in sequence:
        part = parts[slot]
        if part and slot in roles:
            spans[roles[slot]] = (len(words), len(words) + len(part))
        words += part
    if asked and language.question_particle:
        words.append(Word(lexicon[QUESTION], "PART", "O", "Q"))
    if final:
        words.append(Word("?" if asked else ".", "PUNCT", "O", "PUNCT"))
    return Sentence(words, spans)


def bare_span(sentence: Sentence, role: Role) -> tuple[int, int]:
    """The span that answers a question for the role: no article, adposition or case particle."""
    first, last = sentence.spans[role]
    while sentence.words[first].pos in ("ADP", "DET"):
        first += 1
    while sentence.words[last - 1].pos in ("ADP", "PART"):
        last -= 1
    return first, last


def _arguments(
    language: Language,
    lexicon: Lexicon,
    proposition: Proposition,
    asked: Role | None,
    passive: bool,
) -> tuple[list[Word], list[Word]]:
    """The words before the verb's first slot and those of its second slot (S and O slots)."""
    agent = (
        [Word(lexicon[WHO], "PRON", "O", "WH")]
        if asked == "subject"
        else _entity(language, lexicon, proposition.subject, "s")
    )
    if proposition.object is None:
        return agent, []
    patient = (
        [Word(lexicon[WHAT], "PRON", "O", "WH")]
        if asked == "object"
        else _entity(language, lexicon, proposition.object, "o")
    )
    if passive:
        return patient, _adposition(language, Word(lexicon[BY], "ADP", "O", "P:by"), agent)
    if language.accusative:
        patient = [*patient, Word(lexicon[ACC], "PART", "O", "CASE")]
    return agent, patient


def _entity(language: Language, lexicon: Lexicon, entity: Entity, role: str) -> list[Word]:
    if isinstance(entity, Name):
        return _name(lexicon, entity, role)
    return _noun_phrase(language, lexicon, entity, role)


def _name(lexicon: Lexicon, name: Name, role: str) -> list[Word]:
    tag = f"NAME:{role}"
    words = [
        Word(lexicon["name", part, 0], "PROPN", f"{'I' if index else 'B'}-{name.kind}", tag)
        for index, part in enumerate(name.parts)
    ]
    if name.kind == "ORG" and name.parts[0] % 3 == 0:
        words.append(Word(lexicon[CORP], "PROPN", "I-ORG", tag))
    return words


def _noun_phrase(language: Language, lexicon: Lexicon, phrase: NounPhrase, role: str) -> list[Word]:
    concept = (
        ("hypernym", phrase.category, 0)
        if phrase.noun is None
        else ("noun", phrase.category, phrase.noun)
    )
    words = [Word(lexicon[concept], "NOUN", "O", f"N:{role}")]
    if phrase.adjective is not None:
        adjective = Word(lexicon["adjective", phrase.adjective, 0], "ADJ", "O", f"A:{role}")
        words.insert(1 if language.adjective_after_noun else 0, adjective)
    if phrase.number is not None:
        words.insert(0, Word(str(phrase.number), "NUM", "O", f"NUM:{role}"))
    elif language.article:
        words.insert(0, Word(lexicon[DET], "DET", "O", f"DET:{role}"))
    return words


def _verb(
    language: Language, lexicon: Lexicon, proposition: Proposition, passive: bool
) -> list[Word]:
    voice = "passive" if passive else "active"
    tag = "V:intransitive" if proposition.object is None else f"V:{voice}"
    words = [Word(lexicon["verb", proposition.sense, proposition.synonym], "VERB", "O", tag)]
    if proposition.past:
        words.append(Word(lexicon[PAST], "PART", "O", "TENSE"))
    if passive:
        words.append(Word(lexicon[PASS], "PART", "O", "VOICE"))
    if proposition.negated:
        negation = Word(lexicon[NEG], "PART", "O", "NEG")
        words.insert(len(words) if language.negation_after_verb else 0, negation)
    return words


def _place(
    language: Language, lexicon: Lexicon, place: Name | None, asked: Role | None
) -> list[Word]:
    if asked == "place":
        return [Word(lexicon[WHERE], "PRON", "O", "WH")]
    if place is None:
        return []
    adposition = Word(lexicon[IN], "ADP", "O", "P:in")
    return _adposition(language, adposition, _name(lexicon, place, "l"))


def _adposition(language: Language, adposition: Word, words: list[Word]) -> list[Word]:
    return [*words, adposition] if language.postpositions else [adposition, *words]
