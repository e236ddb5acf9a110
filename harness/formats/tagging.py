"""Tagging (POS, NER, supertags): one tag per word; chunk F1 as XTREME's scorer counts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.data.examples import TaggingExample
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
from harness.formats.batching import Specials, slices
from harness.formats.scoring import check_counts, label_table, unknown_label, withheld

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast

IGNORED = -100  # class index of a word that is not in the loss
Chunk = tuple[str, int, int]  # type, first word, last word


class Tagging(Format[TaggingExample]):
    """A prediction is a list of tags, one per word.

    A sentence that is too long is cut at word borders into several features; decode() joins them.
    `target` has a class index per word of the feature, `extra` its first subword's row position.
    """

    name: ClassVar[str] = "tagging"
    metrics: ClassVar[tuple[str, ...]] = ("f1",)

    def __init__(self, separators: int = 1) -> None:
        self.separators = separators

    def configured(self, options: Mapping[str, Any], depth: int) -> Tagging:
        """`separators` that end a row: 2 is what XTREME's run_tag.py gives XLM-R, 1 is usual."""
        check_names(self.name, options, ("separators",))
        separators = options.get("separators", 1)
        if separators not in (1, 2) or isinstance(separators, bool):
            raise InputError(f"options: separators: got {separators}; allowed: 1, 2")
        return Tagging(separators)

    def encode(
        self,
        examples: Sequence[TaggingExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """Features of at most `max_length` tokens; official rules for cutting and odd words."""
        table = label_table(labels)
        specials = Specials.of(tokenizer)
        more = specials.single[1] * (self.separators - 1)
        taken = specials.single_length + len(more)
        room = options.max_length - taken
        if room < 1:
            raise InputError(
                f"max_length {options.max_length} leaves no room for a word; "
                f"allowed: {taken + 1} or more"
            )
        features: list[Feature] = []
        unknown = [tokenizer.unk_token_id]
        for index, (example, found) in enumerate(_split_words(examples, tokenizer)):
            targets = _targets(example, table, training)
            # a word without subwords or with too many is one unknown token, as in the official code
            words = [word if 1 <= len(word) <= room else unknown for word in found]
            for start, stop in _cut([len(word) for word in words], room):
                row: list[int] = []
                positions: list[int] = []
                for word in words[start:stop]:
                    positions.append(len(specials.single[0]) + len(row))
                    row.extend(word)
                target = None if targets is None else targets[start:stop]
                ended = (*specials.join(row), *more)
                features.append(Feature((ended,), index, target, tuple(positions)))
        return features

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """A linear head on every token."""
        model.add_tagging_head(
            name, num_labels=len(labels), layers=1, id2label=dict(enumerate(labels))
        )

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """`logits` [B, L, C]."""
        output = model(batch.input_ids, attention_mask=batch.attention_mask, head=head)
        return {"logits": output.logits}

    def unpadded(self, feature: Feature) -> int | None:
        """Tokens of the row."""
        return feature.length

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """Summed cross entropy at first subwords; the weight is the number of labelled words."""
        import torch  # noqa: PLC0415

        scores = logits["logits"]
        counts = [len(feature.extra) for feature in batch.features]
        rows = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        columns = torch.tensor([p for feature in batch.features for p in feature.extra])
        targets = torch.tensor([t for feature in batch.features for t in feature.target])
        picked = scores[rows.to(scores.device), columns.to(scores.device)].float()
        loss = torch.nn.functional.cross_entropy(
            picked, targets.to(scores.device), ignore_index=IGNORED, reduction="sum"
        )
        return loss, sum(self.weight(feature) for feature in batch.features)

    def weight(self, feature: Feature) -> float:
        """Labelled words of the feature."""
        return float(sum(target != IGNORED for target in feature.target))

    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[TaggingExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[list[str]]:
        """The tag of the highest logit at each word's first subword; pieces are joined."""
        predictions: list[list[str]] = [[] for _ in examples]
        for scores, feature in zip(logits, features, strict=True):
            best = scores["logits"][np.asarray(feature.extra)].argmax(axis=-1)
            predictions[feature.example].extend(labels[index] for index in best)
        return predictions

    def statistics(
        self, predictions: Sequence[Sequence[str]], examples: Sequence[TaggingExample]
    ) -> Statistics:
        """`[n, 3]`: chunks that are right, predicted chunks, gold chunks of each sentence."""
        check_counts(predictions, examples)
        rows = np.zeros((len(examples), 3), dtype=np.float64)
        for row, prediction, example in zip(rows, predictions, examples, strict=True):
            tags = _gold(example)
            if len(prediction) != len(tags):
                raise InputError(
                    f"example '{example.id}' ({example.language}): {len(prediction)} tags for "
                    f"{len(tags)} words; give one tag per word"
                )
            predicted, gold = set(chunks(prediction)), set(chunks(tags))
            row[:] = len(predicted & gold), len(predicted), len(gold)
        return rows

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Micro F1 over chunks (0 where nothing is right)."""
        right, predicted, gold = statistics.sum(axis=0)
        return {"f1": float(200.0 * right / (predicted + gold)) if right else 0.0}

    def score_of_sums(self, sums: Statistics, n: int) -> Statistics:
        """F1 `[R]` from summed counts `[R, 3]`; n does not matter."""
        correct, predicted, gold = sums.T
        scores: Statistics = 200.0 * correct / np.maximum(predicted + gold, 1.0)
        return scores

    def floor(self, examples: Sequence[TaggingExample], labels: Sequence[str]) -> Statistics:
        """The constant tag with the best F1 on the gold; the first of equals."""
        golds = [_gold(example) for example in examples]
        candidates = [_constant_statistics(label, golds) for label in labels]
        return max(candidates, key=lambda statistics: self.aggregate(statistics)["f1"])

    def signature(self) -> dict[str, str]:
        """Which chunks count, and how rows end."""
        return {"chunks": "seqeval-0.0.12", "separators": str(self.separators)}


def chunks(tags: Sequence[str]) -> list[Chunk]:
    """Chunks of one sentence as seqeval 0.0.12 counts them: XTREME's published scores rest on it.

    `B-PER` has prefix B and type PER. A bare tag is its own type, and its first letter is taken for
    the prefix: a run of NOUN is one chunk, but every SCONJ is one, as S marks single-word chunks.
    """
    found: list[Chunk] = []
    previous_prefix, previous_type, begin = "O", "", 0
    for index, tag in enumerate([*tags, "O"]):
        prefix, kind = tag[:1], tag.split("-")[-1]
        changed = kind != previous_type
        if _ends(previous_prefix, prefix, changed):
            found.append((previous_type, begin, index - 1))
        if _starts(previous_prefix, prefix, changed):
            begin = index
        previous_prefix, previous_type = prefix, kind
    return found


def _ends(previous: str, prefix: str, changed: bool) -> bool:
    if previous in ("E", "S") or (previous in ("B", "I") and prefix in ("B", "S", "O")):
        return True
    return changed and previous not in ("O", ".")


def _starts(previous: str, prefix: str, changed: bool) -> bool:
    if prefix in ("B", "S") or (previous in ("E", "S", "O") and prefix in ("E", "I")):
        return True
    return changed and prefix not in ("O", ".")


def _constant_statistics(tag: str, golds: Sequence[Sequence[str]]) -> Statistics:
    """Statistics of predicting `tag` everywhere, without building the predictions."""
    in_two_words = chunks([tag, tag])
    rows = np.zeros((len(golds), 3), dtype=np.float64)
    for row, tags in zip(rows, golds, strict=True):
        gold = chunks(tags)
        row[2] = len(gold)
        if not in_two_words or not tags:
            continue
        kind = in_two_words[0][0]
        if len(in_two_words) == 1:  # one chunk from the first word to the last
            row[:2] = (kind, 0, len(tags) - 1) in gold, 1
        else:  # every word a chunk
            row[:2] = sum(g[0] == kind and g[1] == g[2] for g in gold), len(tags)
    return rows


def _split_words(
    examples: Sequence[TaggingExample], tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[TaggingExample, list[list[int]]]]:
    """Every example with the subword ids of each of its words."""
    for part in slices(examples):
        encoded = tokenizer(
            [list(example.tokens) for example in part],
            is_split_into_words=True,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for index, example in enumerate(part):
            words: list[list[int]] = [[] for _ in example.tokens]
            for token, word in zip(
                encoded["input_ids"][index], encoded.word_ids(index), strict=True
            ):
                words[word].append(token)
            yield example, words


def _cut(lengths: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """Word ranges of consecutive pieces of at most `room` subwords; none for an empty sentence."""
    start = used = 0
    for index, length in enumerate(lengths):
        if used + length > room:
            yield start, index
            start, used = index, 0
        used += length
    if lengths:
        yield start, len(lengths)


def _targets(
    example: TaggingExample, table: Mapping[str, int], training: bool
) -> tuple[int, ...] | None:
    if example.tags is None:
        if training:
            raise withheld(example)
        return None
    if training:
        for tag in example.tags:
            if tag not in table:
                raise unknown_label(example, tag, list(table))
    # a language may have a tag that training never saw: it cannot be predicted, and has no loss
    return tuple(table.get(tag, IGNORED) for tag in example.tags)


def _gold(example: TaggingExample) -> tuple[str, ...]:
    if example.tags is None:
        raise withheld(example)
    return example.tags
