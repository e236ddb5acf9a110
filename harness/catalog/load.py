"""The catalog: every document of `adapters_cfg/` (and of one's own folders), checked and typed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from harness.catalog.build import build
from harness.catalog.check import check_document
from harness.catalog.derived_sets import DERIVED, SourceSets
from harness.catalog.problems import did_you_mean, names, problem, raise_lines
from harness.catalog.references import check_references
from harness.catalog.sets import Recipe, SourceSet, Suite
from harness.catalog.specs import Backbone, Language, Source, Target
from harness.catalog.yaml_file import read_yaml, shown_path
from harness.errors import InputError, expand_home, reading
from harness.resources import resource_dir

T = TypeVar("T")

# Folder of a kind -> its schema and its dataclass.
_KINDS: Mapping[str, tuple[str, type]] = {
    "backbones": ("backbone", Backbone),
    "sources": ("source", Source),
    "source_sets": ("source_set", SourceSet),
    "targets": ("target", Target),
    "recipes": ("recipe", Recipe),
    "suites": ("suite", Suite),
}
_LANGUAGES = "languages.yaml"
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)@(\S+)")


def default_directory() -> Path:
    """The catalog that comes with this installation."""
    return resource_dir("adapters_cfg")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All documents by kind and name; everything in it has been checked, references too."""

    backbones: Mapping[str, Backbone]
    sources: Mapping[str, Source]
    source_sets: Mapping[str, SourceSet]
    targets: Mapping[str, Target]
    recipes: Mapping[str, Recipe]
    suites: Mapping[str, Suite]
    languages: Mapping[str, Language]

    @classmethod
    def load(cls, directories: Sequence[Path] | None = None) -> Catalog:
        """Read the given folders together (None: the shipped one alone).

        For one's own files beside the shipped ones: `[default_directory(), own]`. Names must not
        repeat across folders. InputError holds one line per problem.
        """
        return _load([default_directory()] if directories is None else list(directories))

    def on_hub(self) -> Catalog:
        """The same catalog, read from the hub where a source's or target's YAML says how."""
        return replace(
            self,
            sources={name: one.on_hub() for name, one in self.sources.items()},
            targets={name: one.on_hub() for name, one in self.targets.items()},
        )

    def backbone(self, name: str) -> Backbone:
        """The backbone of that name; like all getters, InputError lists the names that exist."""
        return _get("backbone", self.backbones, name)

    def source(self, name: str) -> Source:
        """The source of that name."""
        return _get("source", self.sources, name)

    def source_set(self, name: str) -> SourceSet:
        """The source set of that name, written in a file or derived from one (`SourceSets`)."""
        return _get("source set", self.source_sets, name, f"; or {DERIVED}")

    def target(self, name: str) -> Target:
        """The target of that name."""
        return _get("target", self.targets, name)

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name."""
        return _get("recipe", self.recipes, name)

    def suite(self, name: str) -> Suite:
        """The suite of that name."""
        return _get("suite", self.suites, name)

    def language(self, code: str) -> Language:
        """The row of the language table."""
        return _get("language", self.languages, code)

    def sources_of(self, source_set: str) -> tuple[Source, ...]:
        """The sources of a source set, in its order, each once."""
        members = self.source_set(source_set).sources
        return tuple(self.source(name) for name in dict.fromkeys(one.source for one in members))

    def language_iso3(self) -> dict[str, str]:
        """Two-letter to three-letter codes, for `{iso3}` in file templates."""
        return {code: row.iso3 for code, row in self.languages.items() if row.iso3 is not None}

    def how_to_get(self) -> dict[str, str]:
        """How to get the files of a source, target or backbone, with their licence, by name."""
        named: dict[str, Backbone | Source | Target] = {
            **self.backbones,
            **self.targets,
            **self.sources,
        }
        return {
            name: f"get it: {' '.join(one.get.split())}; licence: {one.licence}"
            for name, one in named.items()
            if one.get
        }


def _get(kind: str, mapping: Mapping[str, T], name: str, more: str = "") -> T:
    if name in mapping:
        return mapping[name]
    todo = did_you_mean(name, mapping, "choose one of these")
    raise InputError(f"{kind} '{name}' is unknown; known: {names(sorted(mapping))}{more}; {todo}")


class _Loading:
    """Documents found so far, where they stand, and the lines of what is wrong."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.items: dict[str, Any] = {kind: {} for kind in (*_KINDS, "languages")}
        self.files: dict[tuple[str, str], Path] = {}

    def read(self, schema: str, file: Path) -> dict[str, Any] | None:
        """The document if it is valid, else None with the problems noted."""
        try:
            document = read_yaml(file)
        except InputError as error:
            self.lines.append(str(error))
            return None
        found = check_document(schema, document, file)
        self.lines += [one.line() for one in found]
        return None if found else document

    def add(self, kind: str, name: str, file: Path, item: object) -> None:
        """Take a document in, unless its name is taken."""
        other = self.files.get((kind, name))
        if other is not None:
            todo = "rename or remove one of them"
            allowed = f"a name that is new ({shown_path(other)} has it)"
            self.lines.append(problem(file, "name", f"'{name}'", allowed, todo).line())
            return
        self.files[kind, name] = file
        self.items[kind][name] = item

    def file_of(self, kind: str, name: str) -> Path:
        """The file in which a document stands."""
        return self.files[kind, name]


def _load(directories: Sequence[Path]) -> Catalog:
    loading = _Loading()
    for directory in directories:
        with reading(directory):
            _load_directory(loading, directory)
    raise_lines(loading.lines)
    items = loading.items
    items["source_sets"] = SourceSets(items["source_sets"], items["sources"], items["languages"])
    catalog = Catalog(**items)
    raise_lines(one.line() for one in check_references(catalog, loading.file_of))
    return catalog


def _load_directory(loading: _Loading, directory: Path) -> None:
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; a catalog is a folder with {names(_KINDS)}")
    loading.lines += _strangers(directory)
    table = directory / _LANGUAGES
    if table.is_file():
        document = loading.read("languages", table)
        for row in (document or {}).get("languages", []):
            loading.add("languages", row["code"], table, build(Language, row))
    for kind, (schema, cls) in _KINDS.items():
        for file in _documents(loading, directory / kind):
            document = loading.read(schema, file)
            if document is not None:
                _add_document(loading, kind, cls, file, document)


def _add_document(
    loading: _Loading, kind: str, cls: type, file: Path, document: dict[str, Any]
) -> None:
    name = document["name"]
    if name != file.stem:
        todo = f"rename the file to {name}.yaml, or correct the name"
        loading.lines.append(
            problem(file, "name", f"'{name}'", f"the file's name, '{file.stem}'", todo).line()
        )
        return
    if kind in ("sources", "targets"):
        document = {"labels": [], **document}
    if kind == "source_sets":  # a name alone is a member, too
        members = [{"source": one} if isinstance(one, str) else one for one in document["sources"]]
        document = {**document, "sources": members}
    try:
        document = _with_folders(kind, file, document)
    except InputError as error:
        loading.lines.append(str(error))
        return
    loading.add(kind, name, file, build(cls, document))


def _with_folders(kind: str, file: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The document with its adapter's folder made absolute; InputError for a ~NAME of nobody."""
    if kind == "backbones" and document["kind"] == "folder":
        expand_home(document["path"], f"{shown_path(file)}: path")
    if "folder" in document.get("adapter", {}):
        given = expand_home(document["adapter"]["folder"], f"{shown_path(file)}: adapter.folder")
        return {**document, "adapter": {"folder": os.path.abspath(file.parent / given)}}
    return document


def _documents(loading: _Loading, folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.suffix == ".yaml":
            yield file
        elif file.suffix.lower() in (".yml", ".yaml", ".json"):
            got = f"a file ending in '{file.suffix}'"
            loading.lines.append(problem(file, "", got, ".yaml", "rename it").line())


def _strangers(directory: Path) -> Iterator[str]:
    """Lines for a folder that is no catalog, and for folders that look like misspelt kinds."""
    present = [entry.name for entry in sorted(directory.iterdir()) if entry.is_dir()]
    if not any(name in _KINDS for name in present) and not (directory / _LANGUAGES).is_file():
        allowed = f"a folder that holds any of {names(_KINDS)} or {_LANGUAGES}"
        yield problem(directory, "", "no catalog", allowed, "check the path").line()
        return
    for name in present:
        todo = did_you_mean(name, _KINDS, "")
        if name not in _KINDS and todo:
            folder = directory / name
            yield problem(folder, "", "an unknown folder", names(_KINDS), todo).line()


def backbone_from_argument(text: str) -> Backbone:
    """A backbone of the command line that is not in the catalog: a folder, or `id@revision`."""
    with reading(Path(text)):
        is_folder = Path(text).is_dir()
    if is_folder:
        path = Path(text).resolve()
        return Backbone(path.name, f"local folder {path.name}", "folder", path=str(path))
    if match := _HUB_ID.fullmatch(text):
        hub, revision = match.groups()
        name = hub.split("/")[1]
        return Backbone(name, f"{hub} from the hub", "hub", hub=hub, revision=revision)
    raise InputError(
        f"--backbone: '{text}' is no catalog name and no folder; "
        "for the hub write namespace/name@revision"
    )
