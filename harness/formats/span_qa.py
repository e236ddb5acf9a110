"""Span QA (SQuAD, XQuAD, MLQA, TyDiQA): the answer is a piece of the context; exact match and F1.

Subwords carry their character offsets, so an answer is cut out of the context as it stands there
(`spans: offsets`). XTREME's own code tokenises whitespace words and searches the text again, which
differs for scripts without spaces: that is `spans: whitespace`, see span_words.
"""

from __future__ import annotations

import logging
import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from harness.data.examples import Answer, SpanExample
from harness.errors import InputError
from harness.formats.base import (
    Batch,
    EncodeOptions,
    Feature,
    Format,
    Logits,
    Statistics,
    check_names,
)
from harness.formats.batching import Specials, token_ids
from harness.formats.scoring import check_counts, mean_percent, withheld
from harness.formats.span_offsets import Context, Indices, offset_contexts
from harness.formats.span_words import NOTHING_FOUND, word_contexts

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast

UNANSWERABLE = "unanswerable"  # the label of data sets whose questions may have no answer
# Target and score of "no answer here": the first token, as in SQuAD v2 baselines.
NO_ANSWER = (0, 0)
NORMALISATIONS = ("squad", "mlqa")
SPANS = ("offsets", "whitespace")
NOWHERE = (-1, -1)  # tokens that are inside no window
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpanRules:
    """A target's options.

    `normalisation` of answers that are compared: XTREME scores MLQA by rules of its own. `spans`
    says how answers are found in the context and cut out of it. The limits (in subwords) and
    `n_best`, how many starts and ends of a window are paired, are run_squad.py's.
    """

    normalisation: str = "squad"
    spans: str = "offsets"
    max_query: int = 64
    max_answer: int = 30
    n_best: int = 20

    def __post_init__(self) -> None:
        for name, allowed in (("normalisation", NORMALISATIONS), ("spans", SPANS)):
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(f"options: {name}: got '{value}'; allowed: {', '.join(allowed)}")
        for name in ("max_query", "max_answer", "n_best"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"options: {name}: got {value}; allowed: a whole number from 1")


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a context in a row, from its token `start` on; `first` is that token's position."""

    context: Context
    start: int
    first: int
    may_start: npt.NDArray[np.bool_]
    may_end: npt.NDArray[np.bool_]


class SpanQA(Format[SpanExample]):
    """A prediction is the answer's text, empty for none.

    Labels ("answerable",) mean SQuAD v1.1's rules, an answer is always given; with "unanswerable"
    too, v2's. `target` is the answer's first and last token position; `extra` is the Window.
    """

    name: ClassVar[str] = "span_qa"
    metrics: ClassVar[tuple[str, ...]] = ("exact_match", "f1")

    def __init__(self, rules: SpanRules | None = None) -> None:
        self.rules = rules or SpanRules()

    def configured(self, options: Mapping[str, Any], depth: int) -> SpanQA:
        """Options are the fields of SpanRules."""
        check_names(self.name, options, [f.name for f in fields(SpanRules)])
        return self.with_options(SpanRules(**options))

    def with_options(self, rules: SpanRules) -> SpanQA:
        """The same format under other rules."""
        return SpanQA(rules)

    def signature(self) -> dict[str, str]:
        """All rules, by the names of the options."""
        return {name: str(value) for name, value in asdict(self.rules).items()}

    def encode(
        self,
        examples: Sequence[SpanExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """Features (question, part of the context); parts start `doc_stride` tokens apart.

        A question whose answer the context's words do not hold trains nothing, as in run_squad.py.
        """
        specials = Specials.of(tokenizer)
        room = options.max_length - specials.pair_length
        if room < 2:
            raise InputError(
                f"max_length {options.max_length} leaves no room for question and context; "
                f"allowed: {specials.pair_length + 2} or more"
            )
        if options.doc_stride < 1:
            raise InputError(f"doc_stride {options.doc_stride} is too small; allowed: 1 or more")
        questions = token_ids(tokenizer, [example.question for example in examples])
        contexts = self._contexts(tokenizer, [example.context for example in examples])
        features: list[Feature] = []
        unfound = 0
        for index, example in enumerate(examples):
            context = contexts[example.context]
            # a question may take half of the room, so that there is always some context
            question = questions[example.question][: min(self.rules.max_query, room // 2)]
            first = len(specials.pair[0]) + len(question) + len(specials.pair[1])
            span = _token_span(example, context, training)
            if span == NOWHERE and example.answerable and training and self._by_words:
                unfound += 1
                continue
            bounds = _windows(len(context.ids), room - len(question), options.doc_stride)
            owner = _best_windows(bounds, len(context.ids))
            for number, (start, stop) in enumerate(bounds):
                row = specials.join_pair(question, context.ids[start:stop])
                target = None
                if span is not None:
                    inside = start <= span[0] and span[1] < stop
                    target = (
                        (first + span[0] - start, first + span[1] - start) if inside else NO_ANSWER
                    )
                usable = context.usable[start:stop]
                window = Window(
                    context, start, first, usable & (owner[start:stop] == number), usable
                )
                features.append(Feature((row,), index, target, None if training else window))
        if unfound:
            what = "questions are not trained on: the words do not hold their answers"
            log.warning("%d of %d %s", unfound, len(examples), what)
        return features

    @property
    def _by_words(self) -> bool:
        return self.rules.spans == "whitespace"

    def _contexts(
        self, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
    ) -> Mapping[str, Context]:
        return (
            word_contexts(tokenizer, texts) if self._by_words else offset_contexts(tokenizer, texts)
        )

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """A linear head with a start and an end score per token."""
        model.add_qa_head(name, num_labels=2, layers=1)

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """`start` and `end` [B, L]; -inf at padding, so that the loss does not depend on it."""
        output = model(batch.input_ids, attention_mask=batch.attention_mask, head=head)
        padding = batch.attention_mask == 0
        return {
            "start": output.start_logits.float().masked_fill(padding, float("-inf")),
            "end": output.end_logits.float().masked_fill(padding, float("-inf")),
        }

    def unpadded(self, feature: Feature) -> int | None:
        """Tokens of the row."""
        return feature.length

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """Mean of start and end cross entropy, summed over features; the weight is their number."""
        import torch  # noqa: PLC0415

        targets = torch.tensor([f.target for f in batch.features], device=logits["start"].device)
        losses = [
            torch.nn.functional.cross_entropy(logits[side], targets[:, column], reduction="sum")
            for column, side in enumerate(("start", "end"))
        ]
        return (losses[0] + losses[1]) / 2, float(len(batch.features))

    def weight(self, feature: Feature) -> float:
        """1 per feature."""
        return 1.0

    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[SpanExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[str]:
        """The text of the best span of all of a question's features; by v2's rules perhaps none."""
        spans: list[_Span | None] = [None] * len(examples)
        null = np.full(len(examples), np.inf)
        for scores, feature in zip(logits, features, strict=True):
            index, start, end = feature.example, scores["start"], scores["end"]
            null[index] = min(null[index], float(start[0]) + float(end[0]))
            found, best = _best_span(start, end, feature.extra, self.rules), spans[index]
            if found is not None and (best is None or found.score > best.score):
                spans[index] = found
        if UNANSWERABLE not in labels:
            null[:] = -np.inf
        return [self._answer(*one) for one in zip(spans, null, strict=True)]

    def _answer(self, span: _Span | None, null: float) -> str:
        """The text of the span, unless `null`, the score of giving no answer, is higher."""
        if span is None:
            return NOTHING_FOUND if self._by_words and null <= 0.0 else ""
        if null > span.score:
            return ""
        window = span.window
        return window.context.cut(window.start + span.first, window.start + span.last)

    def statistics(self, predictions: Sequence[str], examples: Sequence[SpanExample]) -> Statistics:
        """`[n, 2]`: exact match and F1 of each question, 0 to 1, the best over its gold answers."""
        check_counts(predictions, examples)
        rows = np.zeros((len(examples), 2), dtype=np.float64)
        for row, prediction, example in zip(rows, predictions, examples, strict=True):
            given = self._tokens(prediction, example)
            if not example.answerable:
                row[:] = not given
                continue
            golds = [self._tokens(answer.text, example) for answer in _gold(example)]
            row[:] = max(given == gold for gold in golds), max(_f1(given, gold) for gold in golds)
        return rows

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Mean exact match and mean F1."""
        return mean_percent(statistics, self.metrics)

    def floor(self, examples: Sequence[SpanExample], labels: Sequence[str]) -> Statistics:
        """What a random n-gram of the context scores on average; n: words of the first gold.

        Unanswerable questions count as answered by nothing.
        """
        rows = np.ones((len(examples), 2), dtype=np.float64)
        for row, example in zip(rows, examples, strict=True):
            if example.answerable:
                row[:] = self._expected(example)
        return rows

    def _tokens(self, text: str, example: SpanExample) -> list[str]:
        return normalise(text, example.language, self.rules.normalisation)

    def _expected(self, example: SpanExample) -> tuple[float, float]:
        """Mean exact match and F1 over all n-grams of the context's whitespace tokens."""
        answers = _gold(example)
        words = [self._tokens(word, example) for word in example.context.split()]
        size = min(len(words), max(1, len(answers[0].text.split())))
        if size == 0:
            return 0.0, 0.0
        tokens = np.array([token for word in words for token in word], dtype=object)
        borders = np.concatenate([[0], np.cumsum([len(word) for word in words])]).astype(np.int64)
        begins, stops = borders[:-size], borders[size:]  # the token range of each n-gram
        exact = np.zeros(len(begins), dtype=bool)
        f1 = np.zeros(len(begins))
        for gold in (self._tokens(answer.text, example) for answer in answers):
            overlap = np.zeros(len(begins), dtype=np.int64)
            for token, count in Counter(gold).items():
                seen = np.concatenate([[0], np.cumsum(tokens == token)])
                overlap += np.minimum(seen[stops] - seen[begins], count)
            f1 = np.maximum(f1, 2 * overlap / np.maximum(1, stops - begins + len(gold)))
            same = (overlap == len(gold)) & (stops - begins == len(gold))
            for i in np.flatnonzero(same & ~exact):  # the same tokens, perhaps in another order
                exact[i] = list(tokens[begins[i] : stops[i]]) == gold
        return float(exact.mean()), float(f1.mean())


def _windows(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Token ranges that cover a context; one empty range if it has no tokens."""
    bounds, start = [(0, min(length, room))], 0
    while bounds[-1][1] < length:
        start += min(room, stride)
        bounds.append((start, min(length, start + room)))
    return bounds


def _best_windows(bounds: Sequence[tuple[int, int]], length: int) -> Indices:
    """For each token the window that shows most around it (BERT's rule); spans start only there."""
    if len(bounds) == 1:
        return np.zeros(length, dtype=np.int64)
    places = np.arange(length)
    begins, stops = np.asarray(bounds).T[:, :, None]
    around = np.minimum(places - begins, stops - 1 - places)
    shown = np.where(around >= 0, around + 0.01 * (stops - begins), -1.0)
    return np.asarray(shown.argmax(axis=0), dtype=np.int64)


def _token_span(example: SpanExample, context: Context, training: bool) -> tuple[int, int] | None:
    """Context tokens of the first gold answer, NOWHERE if it has none; None: gold is withheld."""
    if not example.answerable:
        return NOWHERE
    if not example.answers:
        if training:
            raise withheld(example)
        return None
    return context.find(example.answers[0]) or NOWHERE


@dataclass(frozen=True, slots=True)
class _Span:
    """A span of a window's tokens, with the sum of its start and end scores."""

    score: float
    window: Window
    first: int
    last: int


def _best_span(
    start: npt.NDArray[np.float32],
    end: npt.NDArray[np.float32],
    window: Window,
    rules: SpanRules,
) -> _Span | None:
    """The best span among the pairs of the `n_best` highest starts and ends.

    With `offsets` these are the highest of the allowed places, and all of them where no pair of
    the first is allowed. run_squad.py (`whitespace`) takes them from the whole row, question and
    special tokens too, and has no second try.
    """
    size = len(window.may_start)
    shown = slice(window.first, window.first + size)
    begin, finish = start[shown].astype(np.float64), end[shown].astype(np.float64)
    if rules.spans == "whitespace":
        places = [_highest(scores, rules.n_best) - window.first for scores in (start, end)]
        firsts, lasts = (p[(p >= 0) & (p < size)] for p in places)
        tries = [(firsts[window.may_start[firsts]], lasts[window.may_end[lasts]])]
    else:
        tries = [
            (_allowed(begin, window.may_start, n), _allowed(finish, window.may_end, n))
            for n in (rules.n_best, size)
        ]
    for firsts, lasts in tries:
        lengths = lasts[None, :] - firsts[:, None] + 1
        allowed = (lengths >= 1) & (lengths <= rules.max_answer)
        if allowed.any():
            sums = begin[firsts][:, None] + finish[lasts][None, :]
            row, column = divmod(int(np.where(allowed, sums, -np.inf).argmax()), len(lasts))
            return _Span(float(sums[row, column]), window, int(firsts[row]), int(lasts[column]))
    return None


def _highest(scores: npt.NDArray[np.floating[Any]], n: int) -> Indices:
    """Places of the `n` highest scores, best first, the lower place first among equals."""
    return np.argsort(-scores, kind="stable")[:n]


def _allowed(scores: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_], n: int) -> Indices:
    """The `n` highest of the allowed places, in order of place."""
    places = np.flatnonzero(allowed)
    return np.sort(places[_highest(scores[places], n)])


def _gold(example: SpanExample) -> tuple[Answer, ...]:
    if not example.answers:
        raise withheld(example)
    return example.answers


def _f1(given: Sequence[str], gold: Sequence[str]) -> float:
    """Token F1 of SQuAD v1.1: nothing in common is 0, also where both are empty."""
    common = sum((Counter(given) & Counter(gold)).values())
    return 2.0 * common / (len(given) + len(gold)) if common else 0.0


_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SQUAD_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MLQA_ARTICLES = {
    "en": _SQUAD_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile(r"\sال^|ال"),  # as published, though its first half cannot match
    "hi": None,
    "zh": None,
}
_HAN = re.compile(r"([\u4e00-\u9fa5])")


@cache
def _unicode_punctuation() -> dict[int, None]:
    """A table for str.translate that removes ASCII punctuation and Unicode's categories P*."""
    points = (i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P"))
    return dict.fromkeys([*points, *map(ord, string.punctuation)])


def normalise(text: str, language: str, rules: str = "squad") -> list[str]:
    """Tokens that are compared. `squad`: XTREME's evaluate_squad.py, English articles everywhere.

    `mlqa`: its evaluate_mlqa.py, Unicode punctuation, articles by language, Chinese by character.
    """
    if rules == "squad":
        return _SQUAD_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split()
    if language not in _MLQA_ARTICLES:
        raise InputError(
            f"MLQA's rules do not cover language '{language}'; allowed: "
            f"{', '.join(sorted(_MLQA_ARTICLES))}"
        )
    text = text.lower().translate(_unicode_punctuation())
    articles = _MLQA_ARTICLES[language]
    if articles is not None:
        text = articles.sub(" ", text)
    return (_HAN.sub(r" \1 ", text) if language == "zh" else text).split()


__all__ = ["NORMALISATIONS", "SPANS", "SpanQA", "SpanRules", "Window", "normalise"]
