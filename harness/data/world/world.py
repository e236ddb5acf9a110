"""One synthetic world: a seed, its semantics and the lexicons of its languages."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.data.world.grammar import Lexicon, Role, Sentence, realise
from harness.data.world.languages import LANGUAGES, language
from harness.data.world.lexicon import (
    DIGITS,
    PUNCTUATION,
    CodeSwitched,
    Concept,
    build_lexicons,
)
from harness.data.world.semantics import Proposition, Semantics


class World:
    """Everything that a seed decides before any text is drawn; worlds of one seed are equal."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.semantics = Semantics(seed)
        self.lexicons: dict[str, dict[Concept, str]] = build_lexicons(seed)

    def rng(self, *purpose: object) -> random.Random:
        """A random stream that depends on the world and the purpose alone."""
        return random.Random("/".join(("world", str(self.seed), *map(str, purpose))))

    def sentence(
        self,
        name: str,
        proposition: Proposition,
        *,
        asked: Role | None = None,
        final: bool = True,
        lexicon: Lexicon | None = None,
    ) -> Sentence:
        """The proposition (or the question for `asked`) in the language of that name."""
        words = self.lexicons[name] if lexicon is None else lexicon
        return realise(language(name), words, proposition, asked=asked, final=final)

    def text(self, name: str, proposition: Proposition, *, asked: Role | None = None) -> str:
        """The sentence as a string, words and punctuation separated by single spaces."""
        return " ".join(self.sentence(name, proposition, asked=asked).forms)

    def code_switched(
        self, rng: random.Random, name: str, others: Sequence[str], rate: float
    ) -> CodeSwitched:
        """The lexicon of `name` with a share of its words taken from the other languages."""
        return CodeSwitched(
            rng, self.lexicons[name], [self.lexicons[other] for other in others], rate
        )

    def vocabulary(self) -> list[str]:
        """Every word that any language can produce: digits, punctuation, then sorted forms."""
        forms = {form for lexicon in self.lexicons.values() for form in lexicon.values()}
        return [*DIGITS, *PUNCTUATION, *sorted(forms)]

    def substitutes(self) -> dict[str, list[str]]:
        """For each content word the words of its kind in one of its languages (itself too)."""
        found: dict[str, list[str]] = {}
        for name in LANGUAGES:
            by_kind: dict[str, list[str]] = {}
            for concept, form in self.lexicons[name].items():
                by_kind.setdefault(concept[0], []).append(form)
            for kind, forms in by_kind.items():
                if kind != "function":
                    for form in forms:
                        found.setdefault(form, forms)
        return found
