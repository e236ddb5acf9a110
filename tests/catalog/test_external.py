"""YAML of adapters from elsewhere: what is taken, and one line for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import Catalog, ExternalAdapter
from harness.errors import InputError, InputErrors
from tests.right_catalog import FILES

NAME = "sources/ext.sw.yaml"
REVISION = "ab" * 20
HUB = f"{{hub: acme/adapter, revision: {REVISION}}}"
SOURCE = """
name: ext.sw
description: An adapter.
task: nli
language: sw
format: pair_classification
adapter: {folder: near/it}
licence: MIT
"""


def load(folder: Path, text: str) -> Catalog:
    for name, content in {**FILES, NAME: text}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return Catalog.load([folder])


@pytest.mark.parametrize(
    ("folder", "place"), [("near/it", "sources/near/it"), ("../it", "it"), ("/far/it", "/far/it")]
)
def test_a_folder_is_relative_to_the_file(tmp_path: Path, folder: str, place: str) -> None:
    source = load(tmp_path, SOURCE.replace("near/it", folder)).source("ext.sw")
    assert source.adapter == ExternalAdapter(folder=str(tmp_path / place))
    assert source.adapter.place is None
    assert (source.train, source.dev, source.training, source.labels) == (None, None, None, ())


def test_home_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    source = load(tmp_path, SOURCE.replace("near/it", "~/it")).source("ext.sw")
    assert source.adapter == ExternalAdapter(folder="/home/me/it")


def test_a_home_of_nobody_is_one_line_of_its_file(tmp_path: Path) -> None:
    backbone = tmp_path / "backbones/theirs.yaml"
    backbone.parent.mkdir()
    backbone.write_text(
        "name: theirs\ndescription: Another's.\nkind: folder\npath: ~nosuchuser/b\n"
        "reduction_factor: 4\nlicence: MIT\n"
    )
    with pytest.raises(InputErrors) as caught:
        load(tmp_path, SOURCE.replace("near/it", "~nosuchuser/it"))
    said = ["backbones/theirs.yaml: path: got '~nosuchuser/b'; allowed: a path, with ~ for",
            f"{NAME}: adapter.folder: got '~nosuchuser/it'; allowed: a path, with ~ "]  # fmt: skip
    lines = caught.value.lines
    assert all(text in line for text, line in zip(said, lines, strict=True)), lines


@pytest.mark.parametrize("subfolder", ["", "nli/best"])
def test_the_hub_is_pinned(tmp_path: Path, subfolder: str) -> None:
    given = HUB[:-1] + (f", subfolder: {subfolder}}}" if subfolder else "}")
    adapter = load(tmp_path, SOURCE.replace("{folder: near/it}", given)).source("ext.sw").adapter
    assert adapter == ExternalAdapter(hub="acme/adapter", revision=REVISION, subfolder=subfolder)
    assert adapter.place == f"acme/adapter@{REVISION}" + (f"/{subfolder}" if subfolder else "")


ADAPTER = "adapter: {folder: near/it}\n"
TRAINED = """train: {reader: delimited, files: [a.tsv]}
dev: {reader: delimited, files: [b.tsv]}
training: {epochs: 3, learning_rate: 1e-4, batch_size: 32}
split: files-train
"""
WITH = "not together with `adapter`; remove it"
WRONG = [
    (ADAPTER, "", "train: got nothing; allowed: Rows that train, unless there is an `adapter`;"),
    (ADAPTER, "adapter: here\n", "adapter: got 'here'; allowed: a mapping"),
    (ADAPTER, "adapter: {}\n", "adapter.hub: got nothing; allowed: Hub id, with its namespace; or"),
    (ADAPTER, "adapter: {hub: a/b}\n", "adapter.revision: got nothing; allowed: The commit"),
    (ADAPTER, "adapter: {hub: a/b, revision: main}\n", "adapter.revision: got 'main'; allowed: "),
    (ADAPTER, f"adapter: {{hub: b, revision: {REVISION}}}\n", "adapter.hub: got 'b'; allowed: Hub"),
    (ADAPTER, f"adapter: {HUB[:-1]}, folder: x}}\n", "adapter.hub: got 'acme/adapter'; allowed: "
     "not together with `folder`; remove it"),
    (ADAPTER, f"adapter: {HUB[:-1]}, subfolder: ../x}}\n", "adapter.subfolder: got '../x'"),
    (ADAPTER, f"adapter: {HUB[:-1]}, subfolder: a/../../x}}\n", "adapter.subfolder: got 'a/.."),
    (ADAPTER, f"adapter: {HUB[:-1]}, subfolder: /x}}\n", "adapter.subfolder: got '/x'"),
    (ADAPTER, "adapter: {path: x}\n", "adapter.path: got an unknown key; allowed: folder, hub"),
    ("licence: MIT\n", "", "licence: got nothing"),
    ("licence: MIT", "licence: ''", "licence: got ''"),
    ("licence: MIT", "licence: Unknown", "licence: got 'Unknown'; allowed: the licence that the "
     "adapter's publisher states; ask its publisher for one, or choose another adapter"),
    ("licence: MIT", "licence: ' n/a '", "licence: got ' n/a '; allowed: the licence that"),
    ("licence: MIT", "licence: MIT\nlabels: [a, b]", f"labels: got a list; allowed: {WITH}"),
    ("licence: MIT", "licence: MIT\nsize: {train: 9}", f"size: got a mapping; allowed: {WITH}"),
    ("language: sw", "language: xx", "language: got 'xx'"),
    ("format: pair_classification", "format: bitext_retrieval", "format: got 'bitext_retrieval'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_wrong_yaml_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SOURCE
    with pytest.raises(InputError) as caught:
        load(tmp_path, SOURCE.replace(old, new))
    lines = str(caught.value).splitlines()
    assert all(NAME in line for line in lines)
    assert any(said in line for line in lines), lines


def test_what_trains_does_not_stand_beside_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, SOURCE + TRAINED)
    lines = str(caught.value).splitlines()
    keys = ("dev", "split", "train", "training")
    assert [line.split(": got ")[0].rpartition(": ")[2] for line in lines] == list(keys)
    assert all(WITH in line for line in lines)
