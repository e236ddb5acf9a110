"""Span QA by whitespace words, against transformers' own old SQuAD code on real files.

`squad_convert_example_to_features` and `compute_predictions_logits` are what XTREME's run_squad.py
runs. They want a slow tokenizer, and know the two separators of XLM-R's rows by a class's name.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast
from transformers.data.metrics import squad_metrics
from transformers.data.processors import squad as squad_processor
from transformers.models.bert import tokenization_bert

from harness.data.examples import Answer, SpanExample
from harness.formats import EncodeOptions, Feature, SpanQA, SpanRules
from harness.formats.span_words import basic_tokens, final_text, word_contexts

V1, V2 = ("answerable",), ("answerable", "unanswerable")
WORDS = SpanQA(SpanRules(spans="whitespace"))
FILES = {
    **{code: f"xquad/xquad.{code}.json" for code in ("en", "de", "zh", "ar", "hi", "ru", "vi")},
    **{
        f"mlqa-{code}": f"mlqa/MLQA_V1/dev/dev-context-{code}-question-{code}.json"
        for code in ("en", "zh", "ar", "hi")
    },
    "ja": "jglue/jsquad-v1.3/valid-v1.3.json",
    "ko": "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.ko.train.json",
}
PER_FILE = 30
ODD = "ab .,$«»é\u0301é\u200b\u00ad\u3000\u00a0\u202f\t\n\x85\u2028中國ไ\u0e49\ufffd²ﬁ\u0958"


def _read(path: Path) -> list[SpanExample]:
    """Every so many questions of a file, so that its contexts differ."""
    found = [
        SpanExample(
            "",
            "xx",
            None,
            qa["question"],
            paragraph["context"],
            tuple(Answer(a["text"], a["answer_start"]) for a in qa["answers"]),
            True,
        )
        for article in json.loads(path.read_text("utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    # the official search for an answer in one long word takes time with the cube of its length
    found = [e for e in found if max(map(len, e.context.split())) <= 250]
    chosen = found[:: max(1, len(found) // PER_FILE)][:PER_FILE]
    return [replace(example, id=str(number)) for number, example in enumerate(chosen)]


class CamembertTokenizer(PreTrainedTokenizer):  # type: ignore[misc]
    """The fast tokenizer as a slow one; by this name, rows have two separators, as XLM-R's do."""

    def __init__(self, fast: PreTrainedTokenizerFast) -> None:
        self.fast, self.vocabulary = fast, fast.get_vocab()
        super().__init__(
            bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>",
            unk_token="<unk>", pad_token="<pad>", model_max_length=512,
        )  # fmt: skip

    @property
    def vocab_size(self) -> int:
        return len(self.fast)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.vocabulary)

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(self.fast.backend_tokenizer.encode(text, add_special_tokens=False).tokens)

    def _convert_token_to_id(self, token: str) -> int:
        return int(self.vocabulary.get(token, self.fast.unk_token_id))

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.fast.convert_ids_to_tokens(index))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens).replace("▁", " ").strip()  # XLM-R's

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return [0, *token_ids_0, 2] + ([2, *token_ids_1, 2] if token_ids_1 is not None else [])

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: Any = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        return [int(token in (0, 2)) for token in token_ids_0]


@pytest.fixture(scope="module")
def samples(shared_data: Path) -> dict[str, list[SpanExample]]:
    found = {name: _read(shared_data / file) for name, file in FILES.items()}
    lines = (shared_data / "sib-200/tha_Thai/train.tsv", shared_data / "sib-200/tha_Thai/test.tsv")
    rows = [row for file in lines if file.is_file() for row in file.read_text("utf-8").split("\n")]
    texts = [row.split("\t")[2] for row in rows[1:] if row.count("\t") == 2]
    found["th"] = [  # no gold of Thai is at hand: some piece of real text stands for it
        SpanExample(f"th/{i}", "th", None, texts[i + 1][:40], context, (answer,), True)
        for i in range(0, 3 * PER_FILE, 3)
        if (context := " ".join(texts[i : i + 6]))
        and (answer := Answer(context[60:72].strip(), context.index(context[60:72].strip())))
    ]
    return found


@pytest.fixture(scope="module")
def fast(samples: dict[str, list[SpanExample]]) -> PreTrainedTokenizerFast:
    """Unigram over half of the contexts, so that the others have unknown characters."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    texts = [e.context for examples in samples.values() for e in examples[: PER_FILE // 2]]
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    core.train_from_iterator(
        list(dict.fromkeys(texts)),
        trainers.UnigramTrainer(vocab_size=6000, special_tokens=specials, unk_token="<unk>"),
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>",
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def library_of_its_time() -> Iterator[None]:
    """In XTREME's time BasicTokenizer did not compose characters (NFC)."""
    with pytest.MonkeyPatch.context() as patch:
        as_it_was = SimpleNamespace(
            category=unicodedata.category, normalize=lambda form, text: text
        )
        patch.setattr(tokenization_bert, "unicodedata", as_it_was)
        yield


def _official_features(
    examples: Sequence[SpanExample],
    tokenizer: CamembertTokenizer,
    options: EncodeOptions,
    *,
    training: bool,
) -> tuple[list[Any], list[Any]]:
    squad_processor.squad_convert_example_to_features_init(tokenizer)
    converted, features = [], []
    for index, example in enumerate(examples):
        gold = example.answers[0] if example.answerable and training else None
        converted.append(
            squad_processor.SquadExample(
                example.id, example.question, example.context, gold.text if gold else None,
                gold.start if gold else None, "", is_impossible=not example.answerable,
            )
        )  # fmt: skip
        for feature in squad_processor.squad_convert_example_to_features(
            converted[-1], options.max_length, options.doc_stride, 64, "do_not_pad", training
        ):
            feature.example_index, feature.unique_id = index, len(features)
            features.append(feature)
    return converted, features


def _official_answers(
    converted: Sequence[Any], features: Sequence[Any], logits: Sequence[Any], tokenizer: Any,
    rules: SpanRules, *, v2: bool,
) -> list[str]:  # fmt: skip
    results = [
        squad_processor.SquadResult(f.unique_id, s["start"].tolist(), s["end"].tolist())
        for f, s in zip(features, logits, strict=True)
    ]
    answers = squad_metrics.compute_predictions_logits(
        list(converted), list(features), results, rules.n_best, rules.max_answer, False,
        None, None, None, False, v2, 0.0, tokenizer,
    )  # fmt: skip
    return [answers[example.qas_id] for example in converted]


def _logits(features: Sequence[Feature], seed: int, null: float) -> list[dict[str, Any]]:
    """Random scores; some are equal to others."""
    random = np.random.default_rng(seed)
    found = []
    for feature in features:
        scores = random.normal(size=(2, feature.length)).round(1)
        scores[:, 0] += null
        found.append(dict(zip(("start", "end"), scores.astype(np.float32), strict=True)))
    return found


@pytest.mark.parametrize("name", [*FILES, "th"])
def test_rows_targets_and_answers_are_the_official_ones(
    name: str, samples: dict[str, list[SpanExample]], fast: PreTrainedTokenizerFast
) -> None:
    examples, slow = samples[name], CamembertTokenizer(fast)
    options = EncodeOptions(max_length=192, doc_stride=48)
    assert len(examples) == PER_FILE
    _, official = _official_features(examples, slow, options, training=True)
    ours = WORDS.encode(examples, fast, V1, options, training=True)
    assert [list(f.rows[0]) for f in ours] == [f.input_ids for f in official]
    assert [f.target for f in ours] == [(f.start_position, f.end_position) for f in official]
    assert [f.example for f in ours] == [f.example_index for f in official]
    assert sum(f.target != (0, 0) for f in ours) > PER_FILE / 2

    converted, official = _official_features(examples, slow, options, training=False)
    ours = WORDS.encode(examples, fast, V1, options, training=False)
    assert [list(f.rows[0]) for f in ours] == [f.input_ids for f in official]
    assert len(official) > len(examples)
    for labels, null in ((V1, 0.0), (V2, 2.5)):
        logits = _logits(ours, 7, null)
        answers = WORDS.decode(logits, ours, examples, labels, options)
        expected = _official_answers(
            converted, official, logits, slow, WORDS.rules, v2=labels is V2
        )
        assert answers == expected
        assert len(set(answers)) > PER_FILE / 3
    assert "" in answers


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    context=st.text(st.sampled_from(ODD), min_size=1, max_size=40),
    begin=st.integers(0, 39),
    size=st.integers(1, 6),
    max_answer=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_odd_characters_are_read_as_officially(
    tokenizer: Any, context: str, begin: int, size: int, max_answer: int, seed: int
) -> None:
    """Also where no span is allowed, and where a question trains nothing."""
    text = context[begin : begin + size]
    answers = (Answer(text, begin),) if text.strip() else ()
    example = SpanExample("1", "xx", None, "fox", context, answers, bool(answers))
    tokenizer.backend_tokenizer.decoder = decoders.Metaspace()
    slow, options = CamembertTokenizer(tokenizer), EncodeOptions(max_length=24, doc_stride=5)
    rules = SpanRules(spans="whitespace", n_best=3, max_answer=max_answer)
    qa = SpanQA(rules)
    if not word_contexts(tokenizer, [context])[context].ids:
        return  # the official code has no feature then
    # Before the first word the official word number is -1, which is then read as the last word's.
    leads = not context[: begin + 1].strip()
    if answers and not leads:
        _, official = _official_features([example], slow, options, training=True)
        ours = qa.encode([example], tokenizer, V1, options, training=True)
        assert [f.target for f in ours] == [(f.start_position, f.end_position) for f in official]
    converted, official = _official_features([example], slow, options, training=False)
    ours = qa.encode([example], tokenizer, V1, options, training=False)
    for labels in (V1, V2):
        logits = _logits(ours, seed, 1.0)
        expected = _official_answers(converted, official, logits, slow, rules, v2=labels is V2)
        assert qa.decode(logits, ours, [example], labels, options) == expected


@given(st.text(st.sampled_from(ODD + "中^~`\x7f\x00"), max_size=30))
def test_basic_tokens_are_those_of_bert(text: str) -> None:
    expected = tokenization_bert.BasicTokenizer(do_lower_case=False).tokenize(text)
    assert basic_tokens(text) == expected


@given(
    words=st.text(st.sampled_from(ODD), min_size=1, max_size=20),
    begin=st.integers(0, 19),
    size=st.integers(0, 8),
    spaced=st.booleans(),
)
def test_the_final_text_is_the_official_one(
    words: str, begin: int, size: int, spaced: bool
) -> None:
    pieces = (" ".join(basic_tokens(words)) if spaced else words)[begin : begin + size]
    pieces = " ".join(pieces.split())
    assert final_text(pieces, words) == squad_metrics.get_final_text(pieces, words, False)


@pytest.mark.parametrize(
    ("pieces", "words", "expected"),
    [
        ("steve smith", "steve smith's", "steve smith"),
        ("(1994", "(1994).", "(1994)."),  # punctuation stands apart in the tokenised words
        ("1994", "(1994).", "1994"),
        ("北京", "他在北京大学。", "他在北京大学。"),  # and so does each character
        ("北", "他在北京大学。", "北"),
        ("Σ", "ΣΥΡΙΖΑ", "Σ"),
        ("ﬁn", "ﬁn.", "ﬁn"),
        ("fin", "ﬁn.", "ﬁn."),  # what normalisation changed is not found
        ("a", "a\u200bb", "a\u200bb"),  # a dropped character: the lengths differ
        ("", "a.", "a."),
    ],
)
def test_final_text(pieces: str, words: str, expected: str) -> None:
    assert final_text(pieces, words) == expected


def test_answers_that_the_words_do_not_hold_train_nothing(
    tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context = "the fox\u00a0jumps over"
    held = SpanExample("1", "en", None, "who", context, (Answer("over", 14),), True)
    split = replace(held, answers=(Answer("fox\u00a0jumps", 4),))  # words of another whitespace
    features = WORDS.encode([split, held], tokenizer, V1, EncodeOptions(), training=True)
    assert [f.example for f in features] == [1]
    assert "1 of 2 questions are not trained on" in caplog.text
    features = WORDS.encode([split, held], tokenizer, V1, EncodeOptions(), training=False)
    assert [f.example for f in features] == [0, 1]
    assert features[0].target == (0, 0)
