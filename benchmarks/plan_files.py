"""The small plan that bench_plan runs: a random backbone, random rows, and a catalog for them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lengths import lengths

LABELS = ("contradiction", "entailment", "neutral")
MAX_LENGTH, BATCH, RATE = 32, 32, 1e-4
_SHORTER = 4  # lengths of real pairs (maximum 128) divided by this: about as skewed, quicker
_SPECIALS = 4  # <s> A </s></s> B </s>
_NANO = Path(__file__).resolve().parent.parent / "harness" / "data" / "world" / "nano"
_SOURCE_LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "ar", "hi", "sw")
_READER = {
    "reader": "delimited",
    "options": {
        "header": True,
        "columns": {"premise": "premise", "hypothesis": "hypothesis", "label": "label"},
    },
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Its sizes; every target takes the first source for `stack` and all of them for `fuse`."""

    sources: int = 9
    rows: int = 2000  # of a source
    targets: int = 3
    target_rows: int = 320
    scored: int = 100  # rows of a test set, and of every dev set
    languages: tuple[str, ...] = ("en", "de", "ru", "tr", "ur")
    layers: int = 4
    width: int = 384
    heads: int = 6

    @property
    def source_names(self) -> list[str]:
        """As the catalog calls them."""
        return [f"plan.{language}" for language in _SOURCE_LANGUAGES[: self.sources]]

    @property
    def target_names(self) -> list[str]:
        """As the catalog calls them."""
        return [f"plan-target{number}" for number in range(self.targets)]

    def text(self) -> str:
        """What it is, for a title."""
        return (
            f"{self.sources} sources of {self.rows} rows, {self.targets} targets of "
            f"{self.target_rows} rows, each scored in {len(self.languages)} languages "
            f"({self.scored} rows), stack and fuse, {self.layers} x {self.width}, one epoch, "
            f"batches of {BATCH}, maximum length {MAX_LENGTH}"
        )


def write_backbone(plan: Plan, folder: Path) -> None:
    """Random weights in the plan's shape, nano's tokenizer."""
    import torch  # noqa: PLC0415  (slow)
    from transformers import XLMRobertaConfig, XLMRobertaModel  # noqa: PLC0415  (slow)

    torch.manual_seed(0)
    folder.mkdir()
    words = json.loads((_NANO / "config.json").read_bytes())["vocab_size"]
    config = XLMRobertaConfig(
        vocab_size=words, hidden_size=plan.width, num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads, intermediate_size=4 * plan.width,
        max_position_embeddings=130, type_vocab_size=1,
    )  # fmt: skip
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    for path in _NANO.glob("*token*.json"):
        shutil.copy(path, folder)


def write_rows(plan: Plan, folder: Path) -> None:
    """Tables of random words: FOLDER/NAME/train.tsv, dev.tsv, test.LANGUAGE.tsv."""
    words = _words()
    for name in plan.source_names:
        _write(folder / name / "train.tsv", plan.rows, words)
        _write(folder / name / "dev.tsv", plan.scored, words)
    for name in plan.target_names:
        _write(folder / name / "train.tsv", plan.target_rows, words)
        _write(folder / name / "dev.tsv", plan.scored, words)
        for language in plan.languages:
            _write(folder / name / f"test.{language}.tsv", plan.scored, words)


def write_catalog(plan: Plan, folder: Path) -> None:
    """Sources, a set of them all, targets and the suite `plan`, as YAML (JSON is YAML, too)."""
    common = {"task": "plan", "format": "pair_classification", "labels": list(LABELS),
              "licence": "CC0-1.0"}  # fmt: skip
    training = {"epochs": 1, "learning_rate": RATE, "batch_size": BATCH, "max_length": MAX_LENGTH}
    splits = ("train", "dev")
    for name in plan.source_names:
        files = {part: {**_READER, "files": [f"{name}/{part}.tsv"]} for part in splits}
        body = {**common, **files, "name": name, "description": "Random rows.",
                "language": name.split(".")[1], "training": training, "split": "train"}  # fmt: skip
        _yaml(folder / "sources", name, body)
    fused = {"name": "plan-all", "description": "All.", "sources": plan.source_names}
    _yaml(folder / "source_sets", "plan-all", fused)
    for name in plan.target_names:
        files = {part: {**_READER, "files": [f"{name}/{part}.tsv"]} for part in splits}
        test = {**_READER, "files": [name + "/test.{language}.tsv"]}
        body = {**common, **files, "name": name, "description": "Random rows.", "test": test,
                "languages": list(plan.languages), "train_language": "en", "split": "test",
                "max_length": MAX_LENGTH, "settings": {"small": training}}  # fmt: skip
        _yaml(folder / "targets", name, body)
    blocks = [
        {"recipes": [recipe], "targets": plan.target_names, "source_sets": [sources]}
        for recipe, sources in (("stack", plan.source_names[0]), ("fuse", "plan-all"))
    ]
    suite = {"name": "plan", "description": "A small plan.", "backbones": ["xlmr-large"],
             "settings": ["small"], "seeds": [1], "low_resource": "none of them",
             "low_resource_languages": [plan.languages[-1]], "needs_data": True,
             "blocks": blocks}  # fmt: skip
    _yaml(folder / "suites", "plan", suite)


def _yaml(folder: Path, name: str, body: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(json.dumps(body, indent=1), encoding="utf-8")


def _words() -> list[str]:
    """Words that are one token of nano's tokenizer."""
    from tokenizers import Tokenizer  # noqa: PLC0415  (slow)

    tokenizer = Tokenizer.from_file(str(_NANO / "tokenizer.json"))
    words = sorted(token.lstrip("▁") for token in tokenizer.get_vocab())
    encoded = tokenizer.encode_batch(words, add_special_tokens=False)
    return [
        word for word, one in zip(words, encoded, strict=True) if word.isalpha() and len(one) == 1
    ]


def _write(path: Path, count: int, words: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{path.parent.name}/{path.name}")
    lines = ["premise\thypothesis\tlabel"]
    for length in lengths("pairs", count, None, rng.randrange(2**32)):
        size = max(2, round(length / _SHORTER) - _SPECIALS)
        row = rng.choices(words, k=size)
        cut = max(1, size * 2 // 3)
        lines.append("\t".join([" ".join(row[:cut]), " ".join(row[cut:]), rng.choice(LABELS)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
