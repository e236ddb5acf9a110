"""The catalog's documents as frozen dataclasses; `adapters_cfg/<kind>/<name>.yaml` is one each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """A contiguous part of a split, counted in `unit`s (row or group, e.g. article).

    `start` and `stop` as floats are shares from 0.0 to 1.0; integers are 0-based numbers as in a
    slice, negative ones from the end.
    """

    start: float | int = 0
    stop: float | int | None = None
    unit: str = "row"


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """Where the rows of one split come from: a reader, its files (templates) and its options.

    `{language}` and `{iso3}` in a file template are replaced. `overrides` says where a language has
    its rows elsewhere; `then` are further specs whose rows follow (a list in YAML).
    """

    reader: str
    files: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    part: Part | None = None
    overrides: Mapping[str, SplitSpec] = field(default_factory=dict)
    then: tuple[SplitSpec, ...] = ()

    def pieces(self, language: str) -> tuple[SplitSpec, ...]:
        """The specs whose rows, one after the other, are the split in `language`.

        None of them has `overrides` or `then`: a reader handles one piece at a time.
        """
        chosen = self.overrides.get(language)
        head = chosen.pieces(language) if chosen else (replace(self, overrides={}, then=()),)
        return head + tuple(piece for spec in self.then for piece in spec.pieces(language))


@dataclass(frozen=True, slots=True)
class Training:
    """Hyper-parameters of one training. Everything counts in steps, nothing in seconds.

    A batch of an optimizer step is `batch_size` examples or `batch_tokens` padded tokens: exactly
    one of the two is given.
    """

    epochs: int
    learning_rate: float
    batch_size: int | None = None
    batch_tokens: int | None = None
    fusion_learning_rate: float | None = None
    head_learning_rate: float | None = None
    full_learning_rate: float | None = None  # used where the whole backbone is trained (full-ft)
    min_steps: int = 0
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.0
    adam_beta2: float = 0.999
    clip_norm: float = 1.0
    evaluations: int = 0  # evaluations on dev over the whole training; 0: one per epoch
    patience: int = 4  # evaluations without a better dev score before training stops; 0: never
    max_length: int = 128
    doc_stride: int = 128


@dataclass(frozen=True, slots=True)
class PretrainText:
    """Text for pretraining: the rows of `split` (reader `text`), read in each of `languages`."""

    languages: tuple[str, ...]
    split: SplitSpec


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How a small backbone is made here: its shape, its text, and masked-LM training on it."""

    vocabulary: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    max_positions: int
    texts: tuple[PretrainText, ...]
    steps: int
    batch_tokens: int
    learning_rate: float
    mask_rate: float = 0.15
    initializer_range: float = 0.02  # standard deviation of new weights; small models want more
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Backbone:
    """The frozen pretrained encoder: built in, a folder, a hub id, or pretrained here."""

    name: str
    description: str
    kind: str  # builtin | folder | hub | pretrain
    path: str | None = None
    hub: str | None = None
    revision: str | None = None
    pretrain: Pretraining | None = None
    reduction_factor: int = 16  # bottleneck = hidden size / reduction factor
    licence: str = ""
    get: str = ""  # how to get the files it is pretrained on, in words
    world: bool = False  # its vocabulary knows the world's languages and no other


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows the published splits have; 0: not known."""

    train: int
    dev: int = 0


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Labels taken from the training rows: those with at least `least` of them, sorted.

    Rarer ones, and those that only dev has, become `other`, which comes last.
    """

    least: int
    other: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where the hub has a source's splits (reader `hub`), under a split name of its own."""

    split: str
    train: SplitSpec
    dev: SplitSpec


@dataclass(frozen=True, slots=True)
class ExternalAdapter:
    """An adapter that the `adapters` library saved elsewhere: in a local folder, or on the hub."""

    folder: str | None = None  # in YAML relative to the file; absolute once it is loaded
    hub: str | None = None
    revision: str | None = None
    subfolder: str = ""  # of the hub's repository

    @property
    def place(self) -> str | None:
        """Where the hub has it, `namespace/name@revision/subfolder`; None for a local folder."""
        if self.hub is None:
            return None
        return f"{self.hub}@{self.revision}" + (f"/{self.subfolder}" if self.subfolder else "")


@dataclass(frozen=True, slots=True)
class Source:
    """A task in a language, and its adapter: trained on `train`, or one from elsewhere."""

    name: str  # task.language, e.g. mnli.en
    description: str
    task: str
    language: str
    format: str
    labels: tuple[str, ...]
    licence: str
    train: SplitSpec | None = None  # train, dev, training and split: unless there is an `adapter`
    dev: SplitSpec | None = None
    training: Training | None = None
    split: str = ""
    adapter: ExternalAdapter | None = None
    get: str = ""  # how to get its files, in words
    citation: str = ""
    world: bool = False
    settings: Mapping[str, Training] = field(default_factory=dict)  # where a setting differs
    hub: HubSource | None = None
    size: Size | None = None
    stand_in: str = ""  # the source that it stands in for, whose data cannot be handed out
    labels_from: LabelRule | None = None  # instead of `labels`

    def on_hub(self) -> Source:
        """The same source with its rows from the hub; itself where its YAML has no `hub`."""
        if self.hub is None:
            return self
        return replace(self, train=self.hub.train, dev=self.hub.dev, split=self.hub.split)

    def training_for(self, setting: str) -> Training:
        """The hyper-parameters under a setting: its own where given, else `training`."""
        found = self.settings.get(setting, self.training)
        assert found is not None, f"{self.name} is an adapter from elsewhere, not trained here"
        return found


@dataclass(frozen=True, slots=True)
class SourceSet:
    """A named list of sources."""

    name: str
    description: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptOut:
    """Rows that may neither train nor select, and are not scored here; they need no labels."""

    split: SplitSpec
    languages: tuple[str, ...] = ()  # in which it is read; empty: those that the target scores


@dataclass(frozen=True, slots=True)
class HubSplits:
    """Where the hub has a target's splits (reader `hub`), under a split name of its own."""

    split: str
    test: SplitSpec
    train: SplitSpec | None = None
    dev: SplitSpec | None = None
    expected: Mapping[str, int] | int | None = None
    keep_out: tuple[KeptOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A task trained on English (or not at all) and scored in each of its languages.

    `settings` maps a setting's name to its hyper-parameters. Without `train` (retrieval) there is
    no target training: they then serve recipes that train a composition on the sources' rows, and
    `dev` is read in each language (thresholds of mining are tuned on it). `expected` says how many
    rows the split of that name has, in all languages or by language. `keep_out` are rows beside the
    scored ones that may not train, such as official test sets without labels.
    """

    name: str
    description: str
    task: str
    format: str
    languages: tuple[str, ...]
    train_language: str
    labels: tuple[str, ...]
    test: SplitSpec
    split: str
    licence: str
    train: SplitSpec | None = None
    dev: SplitSpec | None = None
    settings: Mapping[str, Training] = field(default_factory=dict)
    get: str = ""  # how to get its files, in words
    citation: str = ""
    world: bool = False
    hub: HubSplits | None = None
    group: str = ""  # XTREME's: classification | tagging | qa | retrieval; "": no part of XTREME
    submission: str = ""  # the XTREME task in whose layout its predictions are exported
    options: Mapping[str, Any] = field(default_factory=dict)  # of its format, see there
    max_length: int = 128
    doc_stride: int = 128
    expected: Mapping[str, int] | int | None = None
    keep_out: tuple[KeptOut, ...] = ()

    def kept_out(self) -> tuple[tuple[str, SplitSpec], ...]:
        """What `keep_out` reads: each language with a spec."""
        return tuple(
            (code, one.split) for one in self.keep_out for code in one.languages or self.languages
        )

    def expected_rows(self, language: str) -> int | None:
        """How many scored rows its split has in a language; None where that is not known."""
        found = self.expected
        if isinstance(found, Mapping):
            found = found.get(language)
        return None if found is None else int(found)  # a schema takes 3.0 for an integer

    def on_hub(self) -> Target:
        """The same target with its rows from the hub; itself where its YAML has no `hub`."""
        if self.hub is None:
            return self
        here = self.hub
        return replace(
            self,
            train=here.train,
            dev=here.dev,
            test=here.test,
            split=here.split,
            expected=here.expected,
            keep_out=here.keep_out,
        )


@dataclass(frozen=True, slots=True)
class Recipe:
    """How sources become a model for a target."""

    name: str
    description: str
    kind: str  # the module family: direct | stack | fuse | full-ft
    sources: str  # none | one | many
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """One cross product of a suite: recipes x source sets x targets.

    `row` names its source sets in the summary, so that sets which play the same part for different
    targets share a row (`stack [English]`).
    """

    recipes: tuple[str, ...]
    targets: tuple[str, ...]
    source_sets: tuple[str, ...] = ()
    row: str = ""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A question fixed before the run: mean score of `better` minus that of `worse`.

    `worse_languages`: where the two sides are compared on different languages (of resource, say).
    """

    name: str
    question: str
    target: str
    better: tuple[str, ...]  # (recipe, source set) or (recipe,)
    worse: tuple[str, ...]
    languages: tuple[str, ...] = ()  # empty: all that are zero-shot on both sides
    worse_languages: tuple[str, ...] = ()  # empty: those of `better`


@dataclass(frozen=True, slots=True)
class Suite:
    """Which backbones x recipes x sets x targets x settings x seeds run, and the contrasts."""

    name: str
    description: str
    backbones: tuple[str, ...]
    blocks: tuple[Block, ...]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    low_resource: str  # the definition, in words; it stands beside every low-resource number
    low_resource_languages: tuple[str, ...]
    contrasts: tuple[Contrast, ...] = ()
    needs_data: bool = False
    seed_note: str = ""  # what the seeds vary; printed under the table


@dataclass(frozen=True, slots=True)
class Language:
    """A row of the language table."""

    code: str
    name: str
    family: str
    script: str
    iso3: str | None = None  # as in Tatoeba's file names (pes for fa, cmn for zh, swh for sw)
    resource: str = ""  # of the world's languages: hub, high, mid, low
    branch: str = ""
    joshi_class: int | None = None  # 0 (left behind) to 5 (winners), Joshi et al. 2020
    cc100_gib: float | None = None  # size in XLM-R's pretraining text; 0: not in it
    world: bool = False
