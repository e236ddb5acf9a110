"""The world's tokenizer: one token per word, XLM-R's template, offsets, and what is shipped."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.data.world import LANGUAGES, World, documents
from harness.data.world.tokenizer import MAX_LENGTH, build_tokenizer

WORLD = World(0)
TOKENIZER = build_tokenizer(WORLD)
SHIPPED = Path(build_tokenizer.__code__.co_filename).parent / "nano"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_a_language_is_one_token(language: str) -> None:
    words = sorted(set(WORLD.lexicons[language].values()))
    ids = TOKENIZER(" ".join(words), add_special_tokens=False).input_ids
    assert len(ids) == len(words)
    assert TOKENIZER.unk_token_id not in ids
    assert TOKENIZER.convert_ids_to_tokens(ids) == words


def test_ids_of_special_tokens_are_those_of_xlm_r() -> None:
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    assert TOKENIZER.convert_tokens_to_ids(list(special)) == [0, 1, 2, 3, len(TOKENIZER) - 1]
    assert TOKENIZER.all_special_ids == [0, 2, 3, 1, len(TOKENIZER) - 1]
    assert TOKENIZER.model_max_length == MAX_LENGTH


def test_pairs_follow_the_template_of_xlm_r() -> None:
    encoded = TOKENIZER("1 2 .", "3 ?")
    assert TOKENIZER.convert_ids_to_tokens(encoded.input_ids) == [
        "<s>", "1", "2", ".", "</s>", "</s>", "3", "?", "</s>",
    ]  # fmt: skip
    assert encoded.sequence_ids() == [None, 0, 0, 0, None, None, 1, 1, None]
    assert encoded.word_ids() == [None, 0, 1, 2, None, None, 0, 1, None]
    assert list(encoded) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize(("text", "tokens"), [("1,2?", ["1", ",", "2", "?"]), ("", [])])
def test_punctuation_needs_no_space(text: str, tokens: list[str]) -> None:
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    assert TOKENIZER.convert_ids_to_tokens(ids) == tokens


def test_foreign_words_are_unknown_and_keep_their_offsets() -> None:
    encoded = TOKENIZER("1 Übergröße .", return_offsets_mapping=True)
    assert encoded.input_ids[2] == TOKENIZER.unk_token_id
    assert encoded["offset_mapping"] == [(0, 0), (0, 1), (2, 11), (12, 13), (0, 0)]


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10**9), st.sampled_from(sorted(LANGUAGES)))
def test_sentences_round_trip_with_exact_offsets(seed: int, language: str) -> None:
    text = WORLD.text(language, WORLD.semantics.proposition(random.Random(seed), None))
    encoded = TOKENIZER(text, return_offsets_mapping=True)
    pieces = [text[start:end] for start, end in encoded["offset_mapping"][1:-1]]
    assert pieces == text.split()
    assert encoded.word_ids()[1:-1] == list(range(len(pieces)))
    decoded = TOKENIZER.decode(encoded.input_ids, skip_special_tokens=True)
    assert decoded.replace(".", " .") == text


def test_words_split_beforehand_give_the_same_ids() -> None:
    for one in documents(WORLD, 50):
        words = one.segments[0].split()
        assert (
            TOKENIZER(words, is_split_into_words=True).input_ids
            == TOKENIZER(one.segments[0]).input_ids
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_other_worlds_round_trip_too(seed: int) -> None:
    tokenizer = build_tokenizer(World(seed))
    for one in documents(World(seed), 300):
        for segment in one.segments:
            ids = tokenizer(segment, add_special_tokens=False).input_ids
            assert tokenizer.convert_ids_to_tokens(ids) == segment.split()


def test_saving_keeps_the_tokenizer(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    assert loaded.get_vocab() == TOKENIZER.get_vocab()
    assert loaded("1 2", "3").input_ids == TOKENIZER("1 2", "3").input_ids


def test_the_shipped_backbone_has_the_words_of_world_0() -> None:
    assert AutoTokenizer.from_pretrained(SHIPPED).get_vocab() == TOKENIZER.get_vocab()
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 3_000_000
