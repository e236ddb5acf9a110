"""docs/add-a-source.md, block by block, as a new user runs it in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.catalog import Catalog, default_directory
from harness.data import READERS, ReadReport, ReadRequest
from harness.errors import InputError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add-a-source.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(block: str, folder: Path) -> str:
    """What a block prints, both streams as a terminal shows them; it must succeed."""
    done = subprocess.run(
        ["bash", "-e", "-c", block], cwd=folder / "work", text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "OMP_NUM_THREADS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}"
    return done.stdout


def pattern(text: str) -> str:
    """A text of the page as a pattern: `...` is anything, all else is what it is."""
    parts = [re.escape(part) for part in text.rstrip("\n").split("...")]
    return r"\A" + ".*?".join(parts) + r"\n*\Z"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str, str]]]:
    """The folder after all blocks, and each block with the text below it and what it printed."""
    folder = tmp_path_factory.mktemp("follow")
    (folder / "work").mkdir()
    (folder / "bin").mkdir()
    command = folder / "bin" / "xstilts"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli "$@"\n', "utf-8")
    command.chmod(0o755)
    printed = []
    for place, (kind, block) in enumerate(BLOCKS):
        if kind == "bash":
            below = BLOCKS[place + 1] if place + 1 < len(BLOCKS) else ("", "")
            said = below[1] if below[0] == "text" else ""
            printed.append((block, said, run(block, folder)))
    return folder / "work", printed


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def test_the_page_prints_what_it_says(
    followed: tuple[Path, list[tuple[str, str, str]]],
) -> None:
    _, printed = followed
    for block, said, out in printed:
        assert re.search(pattern(said), out, re.DOTALL), f"{block}\nsays:\n{said}\nprints:\n{out}"
    # Were a text lost, or a fence misspelt, its block would be compared with nothing.
    assert sum("xstilts " in block for block, _, _ in printed) == 12
    assert all(said for block, said, _ in printed if "xstilts " in block)


def test_the_suite_of_the_page_trains_what_the_page_says(
    followed: tuple[Path, list[tuple[str, str, str]]],
) -> None:
    """Six rows for every set, two for each of three members, and none that is scored."""
    folder, _ = followed
    rows: dict[str, list[int]] = {}
    for file in (folder / "results" / "try" / "records").glob("*.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        counts: Mapping[str, Mapping[str, int]] = record["data"]["counts"]
        name = record["source_set"]["name"] if record["source_set"] else "none"
        rows[name] = [
            count["examples"]
            for owner, count in counts.items()
            if owner.startswith(("swnli", "zupos")) and owner.endswith("/train")
        ]
    assert {name: sorted(found) for name, found in rows.items()} == {
        "none": [],
        "swnli.sw": [6],
        "english-shares": [2, 2, 2],
        "three-languages": [2, 2, 2],
        "three-languages-in-bantu": [3, 3],
    }


def test_derived_names_of_the_page(
    followed: tuple[Path, list[tuple[str, str, str]]],
) -> None:
    catalog = Catalog.load([default_directory(), followed[0] / "own"])
    names = re.findall(r"^\| `((?:swnli|three)[^`]*)` \|", PAGE, re.MULTILINE)
    found = {name: [one.name for one in catalog.sources_of(name)] for name in names}
    assert found == {
        "swnli.sw": ["swnli.sw"],
        "three-languages-without-swnli.en": ["swnli.sw", "zupos.zu"],
        "three-languages-in-bantu": ["swnli.sw", "zupos.zu"],
        "three-languages-outside-bantu": ["swnli.en"],
    }


def test_fragments_fit_into_a_source(
    followed: tuple[Path, list[tuple[str, str, str]]], tmp_path: Path
) -> None:
    """Each YAML fragment of the page appended to its first source: valid, and its references."""
    text = (followed[0] / "own" / "sources" / "swnli.sw.yaml").read_text(encoding="utf-8")
    fragments = {block.partition(":")[0]: block for kind, block in BLOCKS if kind == "yaml"}
    assert list(fragments) == ["size", "labels_from", "hub", "stand_in"]
    (tmp_path / "sources").mkdir()
    for key, fragment in fragments.items():
        whole = re.sub("^labels: .*\n", "", text, flags=re.MULTILINE) if "from" in key else text
        (tmp_path / "sources" / "swnli.sw.yaml").write_text(whole + fragment, encoding="utf-8")
        source = Catalog.load([default_directory(), tmp_path]).source("swnli.sw")
        assert getattr(source, key)


def test_a_stand_in_names_a_source(
    followed: tuple[Path, list[tuple[str, str, str]]], tmp_path: Path
) -> None:
    text = (followed[0] / "own" / "sources" / "swnli.sw.yaml").read_text(encoding="utf-8")
    (tmp_path / "sources").mkdir()
    file = tmp_path / "sources" / "swnli.sw.yaml"
    file.write_text(f"{text}stand_in: ccg.eng\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"swnli\.sw\.yaml: stand_in: .*'ccg\.eng'"):
        Catalog.load([default_directory(), tmp_path])


def _table() -> list[tuple[str, str, list[str], str]]:
    """Reader, format, options and example of each line of the table of readers."""
    found = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1].startswith("`") and cells[1] != "`reader`":
            options = re.findall(r"`([^`]+)`", cells[3])
            found.append((cells[1].strip("`"), cells[2].strip("`"), options, cells[4].strip("`")))
    return found


@pytest.mark.parametrize(
    ("reader", "task_format", "options", "example"), _table(), ids=[row[0] for row in _table()]
)
def test_the_table_of_readers(
    reader: str, task_format: str, options: list[str], example: str, catalog: Catalog
) -> None:  # fmt: skip
    """The example ships and has that reader and format; the reader knows every option."""
    source = catalog.source(example)
    spec = source.on_hub().spec_of("train") if reader == "hub" else source.spec_of("train")
    assert spec.reader == reader
    assert reader == "hub" or source.format == task_format
    shipped = spec.options if reader == "hub" else {}  # there its layout decides
    request = ReadRequest((), "en", None, {**shipped, "no-such-option": 1}, ReadReport())
    with pytest.raises(InputError, match="unknown option 'no-such-option'") as refused:
        list(READERS[reader](request))
    assert set(options) <= set(str(refused.value).partition("allowed: ")[2].split(", "))


def test_the_table_of_readers_is_whole() -> None:
    """But for those of targets (bitext), of backbones (text) and of the world."""
    others = {"comparable", "parallel", "text", "world"}
    assert {row[0] for row in _table()} == set(READERS) - others
