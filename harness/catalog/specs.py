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
class Shape:
    """Sizes of an encoder; `positions` is the longest input in tokens."""

    vocabulary: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    positions: int
    dropout: bool  # in the attention, while it trains

    @property
    def weights(self) -> int:
        """Number of weights, without the pooler that no head uses."""
        d, wide = self.hidden_size, self.intermediate_size
        # Words, positions (two rows more than it can read), one type, and a layer norm.
        embeddings = (self.vocabulary + self.positions + 2 + 1 + 2) * d
        attention, feed_forward, norms = 4 * d * (d + 1), 2 * d * wide + d + wide, 4 * d
        return embeddings + self.layers * (attention + feed_forward + norms)


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
    first_adapter_layer: int = 0  # adapters and fusions stand in this layer and above
    prefix_dropout: bool = True  # False: no dropout below that layer while adapters are trained
    licence: str = ""
    get: str = ""  # how to get the files it is pretrained on, in words
    world: bool = False  # its vocabulary knows the world's languages and no other
    shape: Shape | None = None  # for plans where its files are not at hand


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

    def spec_of(self, split: str) -> SplitSpec:
        """Where the rows of its `train` or `dev` split come from."""
        spec = self.train if split == "train" else self.dev
        assert spec is not None, f"{self.name} is an adapter from elsewhere, without rows"
        return spec

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
class TargetSize:
    """How many rows the splits have, for plans without them; nothing is checked against it.

    `dev` and `test` are one number for each language, or a number by language. `unverified` names
    the splits whose numbers were not counted here.
    """

    train: int = 0
    dev: Mapping[str, int] | int = 0
    test: Mapping[str, int] | int = 0
    unverified: tuple[str, ...] = ()

    def rows(self, split: str, language: str) -> int:
        """Rows of a split (train, dev, test) in a language; 0 where not known."""
        found = {"train": self.train, "dev": self.dev, "test": self.test}[split]
        return int(found.get(language, 0) if isinstance(found, Mapping) else found)


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
    size: TargetSize | None = None

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
