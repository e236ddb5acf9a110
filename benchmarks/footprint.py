"""The factors behind `xstilts plan`'s estimates of memory (harness/bench/footprint.py), measured.

    python benchmarks/footprint.py [--json FILE]

Each case is a fresh process with random weights at XLM-R Large's width (4 layers of 1,024; fp32 on
a CPU). Printed: bytes by which its resident-set high-water mark rises, less the gradients of what
is trained, per token, layer and hidden unit (per token and hidden unit where nothing is trained).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from common import fresh, resident_bytes
from tabulate import tabulate

_LAYERS, _WIDTH, _HEADS, _REDUCTION = 4, 1024, 16, 16
# what is trained or only predicted with, fused sources, rows, tokens of a row
_CASES = [
    ("full-ft", 0, 16, 128), ("full-ft", 0, 8, 256), ("stack", 1, 16, 128), ("fuse", 3, 16, 128),
    ("fuse", 9, 16, 128), ("predict", 1, 16, 128), ("predict", 3, 16, 128),
]  # fmt: skip


def main() -> None:
    """Measure every case, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps({"factor": measure(*_CASES[arguments.case])}))
        return
    rows: list[dict[str, Any]] = []
    for number, (what, sources, count, length) in enumerate(_CASES):
        factor = fresh([sys.executable, __file__, "--case", str(number)], threads=1)["factor"]
        rows.append({"what": what, "sources": sources, "rows": count, "length": length,
                     "factor": factor})  # fmt: skip
    print(tabulate(rows, headers="keys", floatfmt=".1f"))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure(what: str, sources: int, rows: int, length: int) -> float:
    """The factor of one case, in this process."""
    import torch  # noqa: PLC0415  (in the measured processes only)
    from adapters import SeqBnConfig, XLMRobertaAdapterModel  # noqa: PLC0415  (as torch)
    from adapters.composition import Fuse, Stack  # noqa: PLC0415  (as torch)
    from transformers import XLMRobertaConfig  # noqa: PLC0415  (as torch)

    from harness.model import folded, speed_up  # noqa: PLC0415  (as torch)

    torch.set_num_threads(1)
    config = XLMRobertaConfig(
        vocab_size=1000, hidden_size=_WIDTH, num_hidden_layers=_LAYERS, num_attention_heads=_HEADS,
        intermediate_size=4 * _WIDTH, max_position_embeddings=514, type_vocab_size=1,
    )  # fmt: skip
    model = XLMRobertaAdapterModel(config)
    model.add_classification_head("t", num_labels=3)
    names = [f"s{i}" for i in range(sources)]
    for name in [*names, "t"] if sources else []:
        model.add_adapter(name, config=SeqBnConfig(reduction_factor=_REDUCTION))
    if sources > 1:
        model.add_adapter_fusion(Fuse(*names))
    if sources:
        model.set_active_adapters(Stack(Fuse(*names) if sources > 1 else names[0], "t"))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".adapters.t." in name or "fusion" in name or "heads" in name)
    speed_up(model)
    ids = torch.randint(5, 1000, (rows, length))
    before = resident_bytes("VmHWM")
    if what == "predict":
        with torch.inference_mode(), folded(model):
            model.eval()(ids, head="t")
        return (resident_bytes("VmHWM") - before) / (rows * length * _WIDTH)
    model.train()(ids, head="t").logits.sum().backward()
    gradients = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return (resident_bytes("VmHWM") - before - gradients) / (rows * length * _LAYERS * _WIDTH)


if __name__ == "__main__":
    main()
