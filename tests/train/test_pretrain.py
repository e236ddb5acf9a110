"""Pretraining a small backbone: tokenizer like XLM-R's, loss that falls, the same bytes twice."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, XLMRobertaModel, XLMRobertaTokenizerFast

from harness.catalog import Pretraining
from harness.data import TextExample
from harness.data.world import World, documents
from harness.errors import InputError
from harness.model import Numerics, check_backbone, load_tokenizer
from harness.train import (
    Checkpointer,
    Interrupted,
    Progress,
    TrainResult,
    pretrain_backbone,
    train_tokenizer,
)
from tests.nano import load_model

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[2]
SPEC = Pretraining(
    vocabulary=220, hidden_size=32, layers=2, heads=2, intermediate_size=64, max_positions=40,
    texts=(), steps=60, batch_tokens=512, learning_rate=1e-2,
)  # fmt: skip


@pytest.fixture(scope="module")
def texts() -> list[TextExample]:
    """300 short texts of the world, some of two segments."""
    made = list(documents(World(0), 300))
    assert {len(text.segments) for text in made} == {1, 2}
    return made


def pretrain(texts: list[TextExample], folder: Path, **more: Any) -> TrainResult:
    torch.manual_seed(torch.seed() % 1000)  # what was drawn before must not matter
    return pretrain_backbone(
        SPEC, texts, folder, seed=7, numerics=Numerics(), micro_tokens=300, name="small", **more
    )


@pytest.fixture(scope="module")
def made(
    texts: list[TextExample], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainResult, list[float]]:
    folder = tmp_path_factory.mktemp("backbone")
    losses: list[float] = []
    result = pretrain(texts, folder, on_step=lambda progress: losses.append(progress.loss))
    return folder, result, losses


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# --- the tokenizer ---


@pytest.fixture(scope="module")
def tokenizer(texts: list[TextExample]) -> Any:
    return train_tokenizer(texts, SPEC.vocabulary, SPEC.max_positions)


def test_the_template_and_ids_are_xlm_rs(tokenizer: Any) -> None:
    assert isinstance(tokenizer, XLMRobertaTokenizerFast)
    ids = tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"])
    assert ids == [0, 1, 2, 3]  # (XLM-R has its mask last, here it is the fifth)
    named = (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id,
             tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id)  # fmt: skip
    assert named == (0, 1, 2, 3, 0, 2)
    assert tokenizer.mask_token_id == 4
    first = tokenizer("Ba", add_special_tokens=False)["input_ids"]
    second = tokenizer("du la", add_special_tokens=False)["input_ids"]
    assert first
    assert second
    assert tokenizer("Ba")["input_ids"] == [0, *first, 2]
    assert tokenizer("Ba", "du la")["input_ids"] == [0, *first, 2, 2, *second, 2]
    assert tokenizer.model_max_length == SPEC.max_positions


def test_the_vocabulary_is_as_large_as_asked(tokenizer: Any) -> None:
    assert len(tokenizer) == SPEC.vocabulary
    assert sorted(tokenizer.get_vocab().values()) == list(range(SPEC.vocabulary))


def test_known_text_comes_back(tokenizer: Any, texts: list[TextExample]) -> None:
    for text in texts:
        for segment in text.segments:
            ids = tokenizer(segment, add_special_tokens=False)["input_ids"]
            assert 3 not in ids
            assert tokenizer.decode(ids) == segment


def test_unknown_characters_are_unknown(tokenizer: Any, texts: list[TextExample]) -> None:
    known = texts[0].segments[0].split()[0]
    ids = tokenizer(f"{known} ☃ 雪", add_special_tokens=False)["input_ids"]
    assert ids.count(3) == 2
    assert tokenizer.decode([i for i in ids if i != 3]).strip() == known


def test_the_mask_and_offsets_work(tokenizer: Any, texts: list[TextExample]) -> None:
    words = texts[0].segments[0].split()
    masked = tokenizer(" ".join([words[0], "<mask>", *words[2:]]))["input_ids"]
    assert masked.count(4) == 1
    encoded = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    assert {word for word in encoded.word_ids() if word is not None} == set(range(len(words)))
    line = texts[0].segments[0]
    offsets = tokenizer(line, add_special_tokens=False, return_offsets_mapping=True)
    assert "".join(line[a:b] for a, b in offsets["offset_mapping"]).replace(" ", "") == (
        line.replace(" ", "")
    )


def test_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="no text"):
        train_tokenizer([], 100, 40)


_TOKENIZER_SCRIPT = """
import json, sys
from harness.data import TextExample
from harness.train import train_tokenizer
texts = [TextExample(str(i), "x", None, tuple(s)) for i, s in enumerate(json.load(sys.stdin))]
train_tokenizer(texts, int(sys.argv[1]), int(sys.argv[2])).save_pretrained(sys.argv[3])
"""


def test_the_tokenizer_is_the_same_in_every_process(
    made: tuple[Path, TrainResult, list[float]], texts: list[TextExample], tmp_path: Path
) -> None:
    """Neither hashing nor the number of threads may matter."""
    subprocess.run(
        [sys.executable, "-c", _TOKENIZER_SCRIPT, "220", "40", str(tmp_path)],
        input=json.dumps([text.segments for text in texts]),
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77", "RAYON_NUM_THREADS": "5"},
        text=True,
        check=True,
    )
    here, there = contents(made[0]), contents(tmp_path)
    assert there
    assert {name: here[name] for name in there} == there


# --- the encoder ---


def test_it_learns(made: tuple[Path, TrainResult, list[float]]) -> None:
    _, result, losses = made
    assert len(losses) == result.steps == result.planned_steps
    assert 0.8 * SPEC.steps <= result.steps <= 1.2 * SPEC.steps
    chance = math.log(SPEC.vocabulary)
    assert sum(losses[:3]) / 3 > 0.9 * chance
    assert sum(losses[-10:]) / 10 < 0.93 * chance


def test_it_repeats_itself_byte_for_byte(
    made: tuple[Path, TrainResult, list[float]], texts: list[TextExample], tmp_path: Path
) -> None:
    result = pretrain(texts, tmp_path)
    assert result == made[1]
    assert contents(tmp_path) == contents(made[0])


@pytest.mark.parametrize("stop", [1, 25])
def test_interrupted_it_ends_with_the_same_bytes(
    stop: int, made: tuple[Path, TrainResult, list[float]], texts: list[TextExample], tmp_path: Path
) -> None:
    now: list[Progress] = []
    work, folder = tmp_path / "work", tmp_path / "backbone"
    with pytest.raises(Interrupted):
        pretrain(
            texts,
            folder,
            checkpointer=Checkpointer(work, None),
            on_step=now.append,
            should_stop=lambda: now[-1].step == stop,
        )
    result = pretrain(texts, folder, checkpointer=Checkpointer(work, None))
    assert result == made[1]
    assert contents(folder) == contents(made[0])


def test_new_weights_have_the_spread_that_was_asked(
    texts: list[TextExample], tmp_path: Path
) -> None:
    for spread in (0.02, 0.3):
        spec = replace(SPEC, steps=1, learning_rate=1e-6, initializer_range=spread)
        folder = tmp_path / str(spread)
        pretrain_backbone(
            spec, texts, folder, seed=7, numerics=Numerics(), micro_tokens=300, name="small"
        )
        weights = load_file(folder / "model.safetensors")
        for name in ("embeddings.word_embeddings", "encoder.layer.1.output.dense"):
            found = float(weights[f"{name}.weight"].std())
            assert found == pytest.approx(spread, rel=0.1)


def test_another_seed_gives_another_encoder(
    made: tuple[Path, TrainResult, list[float]], texts: list[TextExample], tmp_path: Path
) -> None:
    pretrain_backbone(
        SPEC, texts, tmp_path, seed=8, numerics=Numerics(), micro_tokens=300, name="small"
    )
    here, there = contents(made[0]), contents(tmp_path)
    assert here.keys() == there.keys()
    assert {name for name in here if here[name] != there[name]} == {"model.safetensors"}


def test_everybody_can_load_it(
    made: tuple[Path, TrainResult, list[float]], texts: list[TextExample]
) -> None:
    folder = made[0]
    check_backbone(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert isinstance(tokenizer, XLMRobertaTokenizerFast)
    plain, info = XLMRobertaModel.from_pretrained(
        folder, add_pooling_layer=False, output_loading_info=True
    )
    assert not any(info.values())
    assert plain.config.vocab_size == len(tokenizer)
    assert plain.config.max_position_embeddings == SPEC.max_positions + 2
    ours = load_model(folder, "small")
    lines = [text.segments[0] for text in texts[:9]] + [" ".join(texts[0].segments * 20)]
    batch = tokenizer(lines, padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape[1] == SPEC.max_positions  # the longest it can take
    again = load_tokenizer(folder)(lines, padding=True, truncation=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], again["input_ids"])
    with torch.no_grad():
        expected = plain.eval()(**batch)[0]
        found = ours.roberta(**batch)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
