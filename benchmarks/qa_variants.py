"""What a perfect model scores under each variant of `spans`, by language: docs/metric-parity.md.

    python benchmarks/qa_variants.py --data DIR [--tokenizer FOLDER] [--json FILE]

Perfect means: of all subwords, the first and the last of the gold answer have the highest scores.
Both variants decode the same scores. Without --tokenizer (a folder with XLM-R's, say) one is
trained on the contexts themselves. Rows are 384 long, 128 apart, as in XTREME's scripts.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate
from tokenizers import Regex, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.catalog import Catalog, SplitSpec
from harness.data import Answer, DataContext, SpanExample, TextExample, load_split
from harness.formats import EncodeOptions, Feature, Logits, SpanQA, SpanRules
from harness.formats.span_offsets import offset_contexts
from harness.model import silence_libraries
from harness.train.pretrain import train_tokenizer

LABELS = ("answerable",)
OPTIONS = EncodeOptions(max_length=384, doc_stride=128)
_TARGETS = ("files-xquad", "files-mlqa", "files-tydiqa")
_JAPANESE = SplitSpec("squad", ("jglue/jsquad-v1.3/valid-v1.3.json",))  # no target has any
_THAI = "sib-200/tha_Thai/test.tsv"
_VOCABULARY = 30_000
_HEADERS = (
    "set", "language", "questions", "offsets EM", "F1", "whitespace EM", "F1 ",
    "other answer", "other target",
)  # fmt: skip


def main() -> None:
    """Measure each set and language, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data files")
    parser.add_argument("--tokenizer", type=Path, help="a folder with a fast tokenizer")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    silence_libraries()
    sets, thai = read_sets(arguments.data), thai_contexts(arguments.data / _THAI)
    if arguments.tokenizer:
        tokenizer = AutoTokenizer.from_pretrained(str(arguments.tokenizer))
    else:
        contexts = [e.context for _, _, _, examples in sets for e in examples]
        tokenizer = make_tokenizer([*contexts, *thai])
    sets.append(("SIB-200, made up", "th", "squad", made_up(thai, tokenizer)))
    rows = [
        [name, language, *measure(examples, tokenizer, normalisation)]
        for name, language, normalisation, examples in sets
    ]
    print(tabulate(rows, headers=_HEADERS, floatfmt=".1f"))
    if arguments.json:
        found = [dict(zip(_HEADERS, row, strict=True)) for row in rows]
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def make_tokenizer(contexts: Sequence[str]) -> PreTrainedTokenizerFast:
    """One trained on the contexts that takes runs of white space as one space, as XLM-R's does."""
    texts = [TextExample("", "", None, (text,)) for text in dict.fromkeys(contexts)]
    tokenizer = train_tokenizer(texts, _VOCABULARY, 512)
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    return tokenizer


def read_sets(data: Path) -> list[tuple[str, str, str, list[SpanExample]]]:
    """Name, language, normalisation and examples of everything that is measured."""
    catalog = Catalog.load()
    context = DataContext(data, language_iso3=catalog.language_iso3())
    wanted = []
    for name in _TARGETS:
        target = catalog.target(name)
        rules = str(target.options.get("normalisation", "squad"))
        wanted += [(name, language, rules, target.test) for language in target.languages]
    wanted.append(("JSQuAD", "ja", "squad", _JAPANESE))
    sets = []
    for name, language, rules, split in wanted:
        examples = load_split(split, language, LABELS, context, name).examples
        spans = [example for example in examples if isinstance(example, SpanExample)]
        sets.append((name, language, rules, spans))
    return sets


def thai_contexts(file: Path) -> list[str]:
    """Each four sentences that follow each other in the file."""
    rows = file.read_text(encoding="utf-8").split("\n")[1:]
    sentences = [row.split("\t")[2] for row in rows if row.count("\t") == 2]
    return [" ".join(sentences[i : i + 4]) for i in range(len(sentences) - 3)]


def made_up(contexts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[SpanExample]:
    """Five pieces of each context, of 1 to 8 subwords, as answers: no Thai gold is at hand."""
    random = np.random.default_rng(0)
    examples = []
    for text, context in offset_contexts(tokenizer, contexts).items():
        for first in random.choice(np.flatnonzero(context.usable), 5):
            last = min(int(first + random.integers(8)), len(context.ids) - 1)
            answer = Answer(context.cut(first, last), int(context.starts[first]))
            if answer.text:
                examples.append(SpanExample("", "th", None, "?", text, (answer,), True))
    return examples


def measure(
    examples: Sequence[SpanExample], tokenizer: PreTrainedTokenizerFast, normalisation: str
) -> list[float]:
    """Number of questions, EM and F1 of both variants, percent of other answers and targets.

    Questions whose rows differ between the variants (unusual spaces) cannot share their scores and
    are left out.
    """
    formats = [SpanQA(SpanRules(normalisation, spans)) for spans in ("offsets", "whitespace")]
    features = [
        by_example(one.encode(examples, tokenizer, LABELS, OPTIONS, training=False))
        for one in formats
    ]
    shared = [
        i for i in range(len(examples))
        if [f.rows for f in features[0][i]] == [f.rows for f in features[1][i]]
    ]  # fmt: skip
    kept = [examples[i] for i in shared]
    logits = [gold_logits(feature) for i in shared for feature in features[0][i]]
    row: list[float] = [len(kept)]
    answers = []
    for one, found in zip(formats, features, strict=True):
        own = [
            Feature(f.rows, place, f.target, f.extra)
            for place, i in enumerate(shared)
            for f in found[i]
        ]
        answers.append(one.decode(logits, own, kept, LABELS, OPTIONS))
        scores = one.aggregate(one.statistics(answers[-1], kept))
        row += [scores["exact_match"], scores["f1"]]
    targets = [[[f.target for f in found[i]] for i in shared] for found in features]
    return [*row, percent_unequal(*answers), percent_unequal(*targets)]


def by_example(features: Sequence[Feature]) -> dict[int, list[Feature]]:
    """The features of each example."""
    found = defaultdict(list)
    for feature in features:
        found[feature.example].append(feature)
    return found


def gold_logits(feature: Feature) -> Logits:
    """1 at the first and the last subword of the answer, where the row holds it; 0 elsewhere."""
    first, last = feature.target
    scores = {side: np.zeros(feature.length, dtype=np.float32) for side in ("start", "end")}
    if last > 0:
        scores["start"][first] = scores["end"][last] = 1.0
    return scores


def percent_unequal(one: Sequence[Any], other: Sequence[Any]) -> float:
    """How many of the pairs differ."""
    return 100.0 * sum(a != b for a, b in zip(one, other, strict=True)) / len(one)


if __name__ == "__main__":
    main()
