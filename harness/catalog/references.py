"""What a schema cannot say: references between documents, and values that must fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog.check import known_formats
from harness.catalog.languages import TEMPLATE_FIELDS, template_fields
from harness.catalog.problems import Problem, names, problem, unknown, unknown_language
from harness.catalog.set_check import check_source_set
from harness.catalog.sets import Recipe
from harness.catalog.specs import (
    Backbone,
    HubSplits,
    Source,
    SplitSpec,
    Target,
    Training,
)
from harness.catalog.suite_check import check_suite

if TYPE_CHECKING:
    from harness.catalog.load import Catalog

FileOf = Callable[[str, str], Path]
_SOURCES_OF_KIND = {
    "direct": "none",
    "stack": "one",
    "fuse": "many",
    "multitask": "many",
    "full-ft": "none",
}
_WITH_LABELS = ("pair_classification", "tagging")
_MINING = "bitext_mining"
_RETRIEVAL = ("bitext_retrieval", _MINING)  # nothing is trained
_MASKED_LM = "masked_lm"  # how backbones are pretrained: no head to transfer, no floor to beat
_SPAN_QA = "span_qa"
_HUB = "hub"
_NO_LICENCE = ("", "-", "?", "n/a", "no", "none", "tbd", "unclear", "unknown", "unspecified")
_SPAN_LABELS = ((), ("answerable",), ("answerable", "unanswerable"))


def check_references(catalog: Catalog, file_of: FileOf) -> Iterator[Problem]:
    """Every problem between the documents; `file_of(kind, name)` says where each one stands."""
    for backbone in catalog.backbones.values():
        yield from _backbone(catalog, backbone, file_of("backbones", backbone.name))
    for source in catalog.sources.values():
        yield from _source(catalog, source, file_of("sources", source.name))
    for target in catalog.targets.values():
        yield from _target(catalog, target, file_of("targets", target.name))
    for recipe in catalog.recipes.values():
        yield from _recipe(recipe, file_of("recipes", recipe.name))
    missing = list(_source_sets(catalog, file_of))
    yield from missing
    if missing:
        return  # suites look into their source sets
    for suite in catalog.suites.values():
        yield from check_suite(catalog, suite, file_of("suites", suite.name))


def _source_sets(catalog: Catalog, file_of: FileOf) -> Iterator[Problem]:
    for one in catalog.source_sets.values():
        file = file_of("source_sets", one.name)
        yield from check_source_set(catalog, one, file)
        for name, training in one.settings.items():
            yield from _training(file, f"settings.{name}", training)


def _backbone(catalog: Catalog, backbone: Backbone, file: Path) -> Iterator[Problem]:
    pretrain = backbone.pretrain
    for key, sizes in (("pretrain", pretrain), ("shape", backbone.shape)):
        if sizes is not None and sizes.hidden_size % sizes.heads:
            allowed = f"a divisor of hidden_size ({sizes.hidden_size})"
            yield problem(file, f"{key}.heads", str(sizes.heads), allowed, "correct one of them")
        if sizes is not None and backbone.first_adapter_layer >= sizes.layers:
            got, allowed = str(backbone.first_adapter_layer), f"0 to {sizes.layers - 1}"
            yield problem(file, "first_adapter_layer", got, allowed, f"{key}.layers is the limit")
    if not backbone.prefix_dropout and not backbone.first_adapter_layer:
        allowed = "true, for no layer is below the first adapters"
        todo = "add first_adapter_layer, or remove it"
        yield problem(file, "prefix_dropout", "false", allowed, todo)
    if pretrain is None:
        return
    for place, text in enumerate(pretrain.texts):
        key = f"pretrain.texts[{place}]"
        for language in text.languages:
            yield from unknown_language(file, f"{key}.languages", language, catalog.languages)
        yield from _split(catalog, file, f"{key}.split", text.split, text.languages, False)


def _source(catalog: Catalog, source: Source, file: Path) -> Iterator[Problem]:
    yield from unknown_language(file, "language", source.language, catalog.languages)
    if not source.name.endswith(f".{source.language}"):
        allowed = f"TASK.{source.language}, since the language is '{source.language}'"
        yield problem(file, "name", f"'{source.name}'", allowed, "correct one of them")
    yield from _format(file, source.format, (*_RETRIEVAL, _MASKED_LM))
    if source.stand_in:
        yield from unknown(file, "stand_in", source.stand_in, catalog.sources)
    if source.adapter is not None:
        yield from _licence(file, source.licence)
        return
    if source.labels_from is None:
        yield from _labels(file, source.format, source.labels)
    else:
        yield from _labels_from(file, source)
    for key, split in (("train", source.train), ("dev", source.dev)):
        assert split is not None  # the schema says so
        yield from _split(catalog, file, key, split, (source.language,), source.world)
    if source.hub is not None:
        for key, split in (("train", source.hub.train), ("dev", source.hub.dev)):
            yield from _split(catalog, file, f"hub.{key}", split, (source.language,), False)
            yield from _hub_only(file, f"hub.{key}", split, (source.language,))
    assert source.training is not None
    yield from _training(file, "training", source.training)
    for name, training in source.settings.items():
        yield from _training(file, f"settings.{name}", training)


def _licence(file: Path, licence: str) -> Iterator[Problem]:
    """A problem if nobody said under which licence weights from elsewhere may be used."""
    if licence.strip().lower() in _NO_LICENCE:
        allowed = "the licence that the adapter's publisher states"
        todo = "ask its publisher for one, or choose another adapter"
        yield problem(file, "licence", f"'{licence}'", allowed, todo)


def _target(catalog: Catalog, target: Target, file: Path) -> Iterator[Problem]:
    for place, language in enumerate(target.languages):
        yield from unknown_language(file, f"languages[{place}]", language, catalog.languages)
    yield from unknown_language(file, "train_language", target.train_language, catalog.languages)
    yield from _format(file, target.format, (_MASKED_LM,))
    yield from _labels(file, target.format, target.labels)
    yield from _target_splits(catalog, target, file, "")
    yield from _expected(target, file, "")
    yield from _size(target, file)
    if target.hub is not None:
        yield from _expected(target.on_hub(), file, "hub.")
        yield from _target_splits(catalog, target.on_hub(), file, "hub.")
        yield from _hub(target, target.hub, file)
    for name, training in target.settings.items():
        yield from _training(file, f"settings.{name}", training)


def _target_splits(catalog: Catalog, target: Target, file: Path, prefix: str) -> Iterator[Problem]:
    """Problems of the splits that a target has; `prefix` says where in its file they stand."""
    trained = target.format not in _RETRIEVAL
    if not trained and target.train is not None:
        allowed = "nothing: retrieval is not trained"
        yield problem(file, f"{prefix}train", "a mapping", allowed, "remove it")
    if trained and target.train is None:
        allowed = f"where the rows come from, for format '{target.format}'"
        todo = "add it" if target.dev else "add train and dev"
        yield problem(file, f"{prefix}train", "nothing", allowed, todo)
    if target.format == _MINING and target.dev is None:
        allowed = "where the rows come from that the threshold is tuned on, in each language"
        yield problem(file, f"{prefix}dev", "nothing", allowed, "add it")
    home = (target.train_language,)
    for key, split, languages in (
        ("train", target.train, home),
        ("dev", target.dev, home if trained else target.languages),
        ("test", target.test, target.languages),
    ):
        if split is not None:
            yield from _split(catalog, file, f"{prefix}{key}", split, languages, target.world)
    for place, one in enumerate(target.keep_out):
        key, languages = f"{prefix}keep_out[{place}]", one.languages or target.languages
        for code in one.languages:
            yield from unknown_language(file, f"{key}.languages", code, catalog.languages)
        yield from _split(catalog, file, f"{key}.split", one.split, languages, target.world)


def _expected(target: Target, file: Path, prefix: str) -> Iterator[Problem]:
    if isinstance(target.expected, Mapping):
        for code in target.expected:
            if code not in target.languages:
                allowed = f"languages that are scored: {names(target.languages, 60)}"
                yield problem(file, f"{prefix}expected", f"'{code}'", allowed, "remove it")


def _size(target: Target, file: Path) -> Iterator[Problem]:
    size = target.size
    if size is None:
        return
    for key, found in (("dev", size.dev), ("test", size.test)):
        for code in found if isinstance(found, Mapping) else ():
            if code not in target.languages:
                allowed = f"languages that are scored: {names(target.languages, 60)}"
                yield problem(file, f"size.{key}", f"'{code}'", allowed, "remove it")
    for place, key in enumerate(size.unverified):
        if not getattr(size, key):
            todo = f"add size.{key}, or remove it"
            yield problem(
                file, f"size.unverified[{place}]", f"'{key}'", "a split with a size", todo
            )


def _hub(target: Target, hub: HubSplits, file: Path) -> Iterator[Problem]:
    """A dev split that the target has but not on the hub, and splits with other readers there."""
    if hub.dev is None and target.dev is not None:
        allowed = "where the hub has it, since the target has `dev`"
        yield problem(file, "hub.dev", "nothing", allowed, "add it")
    languages = dict.fromkeys((target.train_language, *target.languages))
    kept = [(f"keep_out[{place}].split", one.split) for place, one in enumerate(hub.keep_out)]
    for name, split in (("train", hub.train), ("dev", hub.dev), ("test", hub.test), *kept):
        if split is not None:
            yield from _hub_only(file, f"hub.{name}", split, languages)


def _hub_only(
    file: Path, key: str, split: SplitSpec, languages: Iterable[str]
) -> Iterator[Problem]:
    pieces = [piece for code in languages for piece in split.pieces(code)]
    for reader in dict.fromkeys(piece.reader for piece in pieces):
        if reader != _HUB:
            yield problem(file, f"{key}.reader", f"'{reader}'", f"'{_HUB}'", "correct it")


def _recipe(recipe: Recipe, file: Path) -> Iterator[Problem]:
    expected = _SOURCES_OF_KIND[recipe.kind]
    if recipe.sources != expected:
        allowed = f"'{expected}' for kind '{recipe.kind}'"
        yield problem(file, "sources", f"'{recipe.sources}'", allowed, "correct one of them")


def _format(file: Path, task_format: str, refused: tuple[str, ...]) -> Iterator[Problem]:
    """A problem if documents of this kind cannot be of this format."""
    if task_format in refused:
        allowed = f"one of {names(one for one in known_formats() if one not in refused)}"
        yield problem(file, "format", f"'{task_format}'", allowed, "choose one of these")


def _labels(file: Path, task_format: str, labels: tuple[str, ...]) -> Iterator[Problem]:
    if task_format in _WITH_LABELS and len(labels) < 2:
        allowed = f"at least 2 labels for format '{task_format}'"
        yield problem(file, "labels", f"{len(labels)} of them", allowed, "list the labels")
    if task_format == _SPAN_QA and labels not in _SPAN_LABELS:
        allowed = "none, or [answerable, unanswerable] where questions may have no answer"
        yield problem(file, "labels", names(labels), allowed, "write one of these")
    elif task_format not in (*_WITH_LABELS, _SPAN_QA) and labels:
        allowed = f"no labels for format '{task_format}'"
        yield problem(file, "labels", names(labels), allowed, "remove them")


def _labels_from(file: Path, source: Source) -> Iterator[Problem]:
    if source.format not in _WITH_LABELS:
        allowed = f"nothing for format '{source.format}' (only for {names(_WITH_LABELS)})"
        yield problem(file, "labels_from", "a mapping", allowed, "remove it")
    if source.labels:
        allowed = "nothing beside `labels_from`, which takes them from the training rows"
        yield problem(file, "labels", names(source.labels), allowed, "keep one of them")


def _training(file: Path, key: str, training: Training) -> Iterator[Problem]:
    given = (training.batch_size is not None) + (training.batch_tokens is not None)
    if given != 1:
        got = "both batch_size and batch_tokens" if given else "neither batch_size nor batch_tokens"
        yield problem(file, key, got, "exactly one of the two", "keep one" if given else "add one")


def _split(
    catalog: Catalog,
    file: Path,
    key: str,
    split: SplitSpec,
    languages: Iterable[str],
    world: bool,
) -> Iterator[Problem]:
    for language in split.overrides:
        if language not in languages:
            allowed = f"languages in which this split is read: {names(languages)}"
            yield problem(file, f"{key}.overrides", f"'{language}'", allowed, "remove it")
    seen: set[str] = set()  # the same piece is made anew for each language
    for language in languages:
        for piece in split.pieces(language):
            yield from _iso3(catalog, file, key, piece, language)
            if repr(piece) not in seen:
                seen.add(repr(piece))
                yield from _piece(file, key, piece, world)


def _iso3(
    catalog: Catalog, file: Path, key: str, piece: SplitSpec, language: str
) -> Iterator[Problem]:
    row = catalog.languages.get(language)
    if row is None or row.iso3 is not None:
        return
    if any("iso3" in template_fields(template) for template in piece.files):
        allowed = f"a language with an iso3 code ('{language}' has none)"
        yield problem(file, f"{key}.files", "{iso3}", allowed, "add the code to languages.yaml")


def _piece(file: Path, key: str, piece: SplitSpec, world: bool) -> Iterator[Problem]:
    if (piece.reader == "world") != world:
        allowed = "'world' if and only if `world: true`"
        yield problem(file, f"{key}.reader", f"'{piece.reader}'", allowed, "correct one of them")
    for template in piece.files:
        for field in template_fields(template):
            if field not in TEMPLATE_FIELDS:
                allowed = "{language} and {iso3}"
                yield problem(file, f"{key}.files", f"{{{field}}}", allowed, "correct the template")
    part = piece.part
    if part is None:
        return
    for name, value in (("start", part.start), ("stop", part.stop)):
        if isinstance(value, float) and not 0 <= value <= 1:
            allowed = "a share from 0.0 to 1.0, or a whole row number"
            yield problem(file, f"{key}.part.{name}", str(value), allowed, "correct the value")
    stop = part.stop
    kinds = {type(value) for value in (part.start, stop) if value not in (0, None)}
    if len(kinds) > 1:
        got = f"{part.start} and {stop}"
        yield problem(file, f"{key}.part", got, "two shares, or two row numbers", "use one kind")
    elif stop is not None and (part.start < 0) == (stop < 0) and stop <= part.start:
        allowed = f"more than start ({part.start})"
        yield problem(file, f"{key}.part.stop", str(stop), allowed, "correct one of them")
