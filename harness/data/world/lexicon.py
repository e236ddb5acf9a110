"""Word forms: proto forms per family, sound changes, replacements, loans, homographs."""

from __future__ import annotations

import random
from collections.abc import Mapping

from harness.data.world.languages import HUB, LANGUAGES, Language, Script
from harness.data.world.semantics import (
    ADJECTIVES,
    NAMES,
    NOUN_CATEGORIES,
    NOUNS_PER_CATEGORY,
    SENSES,
    SYNONYMS,
    TIMES,
)

Concept = tuple[str, int, int]
"""Kind, index and variant: ("noun", category, noun), ("verb", sense, synonym), ("time", n, 0)."""

_FUNCTIONS = tuple(("function", index, 0) for index in range(12))
NEG, ACC, DET, PAST, PASS, BY, IN, WHO, WHAT, WHERE, CORP, QUESTION = _FUNCTIONS

PUNCTUATION = (".", "?", ",", ":")
DIGITS = tuple(str(digit) for digit in range(1, 10))

_CONSONANTS = "ptkbdgmnslrvzfhw"
_VOWELS = "aeiou"
_SHIFTS = {
    "p": "f", "t": "s", "k": "h", "b": "v", "d": "z", "g": "w", "a": "e", "o": "u", "i": "e",
    "l": "r", "s": "z", "n": "m", "u": "o", "e": "a", "r": "l", "m": "n", "f": "p", "h": "k",
    "v": "b", "z": "d", "w": "g",
}  # fmt: skip
_SCRIPT_START: dict[Script, int] = {"latin": ord("a"), "cyrillic": 0x0430, "thai": 0x0E01}
_HOMOGRAPH_RATE = 0.2
_NAME_KEPT_IN_LATIN = 0.4


def concepts() -> list[Concept]:
    """Every concept but the names, in a fixed order."""
    found: list[Concept] = [
        ("noun", category, noun)
        for category in range(NOUN_CATEGORIES)
        for noun in range(NOUNS_PER_CATEGORY)
    ]
    found += [("hypernym", category, 0) for category in range(NOUN_CATEGORIES)]
    found += [("verb", sense, word) for sense in range(SENSES) for word in range(SYNONYMS)]
    found += [("adjective", index, 0) for index in range(ADJECTIVES)]
    found += [("time", index, 0) for index in range(TIMES)]
    return found + list(_FUNCTIONS)


def names() -> list[Concept]:
    """The concepts of the name tokens."""
    return [("name", index, 0) for index in range(NAMES)]


def transliterate(word: str, script: Script) -> str:
    """A lower-case Latin word in the script, letter by letter."""
    start = _SCRIPT_START[script]
    return "".join(chr(start + ord(letter) - ord("a")) for letter in word)


class _Forms:
    """Draws words and keeps every form to one concept, so that a text has one reading."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._owner: dict[str, Concept] = {}

    def draw(self, concept: Concept, syllables: int) -> str:
        """A new Latin form of that many CV syllables, 40 % with a final consonant."""
        while True:
            word = "".join(
                self._rng.choice(_CONSONANTS) + self._rng.choice(_VOWELS) for _ in range(syllables)
            )
            if self._rng.random() < 0.4:
                word += self._rng.choice(_CONSONANTS)
            if word not in self._owner:
                self._owner[word] = concept
                return word

    def settle(self, concept: Concept, word: str, script: Script) -> str:
        """The word in its script, lengthened until no other concept of any language has it."""
        form = transliterate(word, script)
        while self._owner.setdefault(form, concept) != concept:
            form += transliterate(self._rng.choice(_VOWELS), script)
        return form


def build_lexicons(seed: int) -> dict[str, dict[Concept, str]]:
    """The form of every concept in every language, by language name."""
    rng = random.Random(f"world-lexicon-{seed}")
    forms = _Forms(rng)
    families = sorted({one.family for one in LANGUAGES.values()})
    proto = {
        family: {concept: forms.draw(concept, _syllables(rng, concept)) for concept in concepts()}
        for family in families
    }
    name_forms = {concept: forms.draw(concept, 2) for concept in names()}
    homographs = _homographs(rng)
    lexicons = {}
    for one in LANGUAGES.values():
        lexicon = _words(rng, forms, one, proto)
        for verb, noun in homographs.items():
            lexicon[verb] = lexicon[noun]
        for concept, word in name_forms.items():
            # capitals set Latin and Cyrillic names apart; the third script has none
            if one.script == "latin" or rng.random() < _NAME_KEPT_IN_LATIN:
                lexicon[concept] = word.capitalize()
            else:
                lexicon[concept] = forms.settle(concept, word, one.script).capitalize()
        lexicons[one.name] = lexicon
    return lexicons


def _syllables(rng: random.Random, concept: Concept) -> int:
    return 1 if concept[0] == "function" else rng.choice((2, 2, 3))


def _words(
    rng: random.Random,
    forms: _Forms,
    one: Language,
    proto: Mapping[str, Mapping[Concept, str]],
) -> dict[Concept, str]:
    changes = {letter: _SHIFTS[letter] for letter in rng.sample(list(_SHIFTS), one.sound_changes)}
    lexicon = {}
    for concept in concepts():
        content = concept[0] != "function"
        word, script = proto[one.family][concept], one.script
        if content and rng.random() < one.loan_rate:
            word, script = proto[LANGUAGES[HUB].family][concept], "latin"
        elif content and rng.random() < one.replacement_rate:
            word = forms.draw(concept, 2)
        changed = "".join(changes.get(letter, letter) for letter in word)
        lexicon[concept] = forms.settle(concept, changed, script)
    return lexicon


def _homographs(rng: random.Random) -> dict[Concept, Concept]:
    """Second synonyms that sound like a noun, the same ones everywhere (zero derivation)."""
    nouns = [concept for concept in concepts() if concept[0] == "noun"]
    return {
        ("verb", sense, 1): nouns[(sense * 5 + 3) % len(nouns)]
        for sense in range(SENSES)
        if rng.random() < _HOMOGRAPH_RATE
    }


class CodeSwitched(dict[Concept, str]):
    """A lexicon that answers a share of its look-ups in the words of other languages."""

    def __init__(
        self,
        rng: random.Random,
        base: Mapping[Concept, str],
        others: list[Mapping[Concept, str]],
        rate: float,
    ) -> None:
        super().__init__()
        self._rng, self._base, self._others, self._rate = rng, base, others, rate

    def __missing__(self, concept: Concept) -> str:
        source = self._rng.choice(self._others) if self._rng.random() < self._rate else self._base
        return source[concept]
