"""`xstilts score` is a script's tool: it starts fast, so it loads no framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "adapters", "datasets", "tokenizers")
CODE = f"""
import sys
from harness.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print('loaded:', *(name for name in {HEAVY} if name in sys.modules))
"""


def test_scoring_loads_no_framework(tmp_path: Path) -> None:
    for side in ("gold", "pred"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "test-de.json").write_text(
            '{"data": [{"paragraphs": [{"context": "b", "qas": [{"id": "q", "question": "?",'
            ' "answers": [{"text": "b", "answer_start": 0}]}]}]}]}'
            if side == "gold"
            else '{"q": "b"}'
        )
    command = ["score", "xquad", "--gold", "gold", "--pred", "pred"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *command],
        cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    *table, loaded = done.stdout.splitlines()
    assert any(line.startswith("score: 100.00") for line in table)
    assert loaded == "loaded:"
