"""What retrieval formats share: a sentence vector is pooled from one layer; nothing is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableSequence, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from harness.data.examples import Example
from harness.errors import InputError
from harness.formats.base import Batch, EncodeOptions, Feature, Format, Logits, check_names
from harness.formats.batching import Specials, token_ids

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast

E = TypeVar("E", bound=Example)
Pooling = Literal["mean", "cls"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls")
FOREIGN, ENGLISH = "foreign", "english"  # Feature.extra: the side of the sentence
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """`layer` counts from 1 (0: the embeddings); `mean` pools over all tokens, specials too."""

    layer: int = 14
    pooling: Pooling = "mean"

    @property
    def key(self) -> str:
        """Under which name the vectors stand among the logits."""
        return f"{self.pooling}@{self.layer}"


PROPORTIONAL = "proportional-14/24"
"""The layer of a target that names none: as deep as XTREME's 14 of XLM-R Large's 24."""
_PROPORTION = re.compile(r"proportional-([0-9]+)/([1-9][0-9]*)")


def proportional_layer(depth: int, numerator: int = 14, of: int = 24) -> int:
    """The layer of `depth` that lies as deep as `numerator` of `of`; halves up, 1 or more."""
    return max(1, (2 * depth * numerator + of) // (2 * of))


def layer_of(text: str, depth: int) -> int:
    """The layer that an option names, for a backbone of `depth` layers; InputError if too deep."""
    share = _PROPORTION.fullmatch(text)
    if share is None and not (text.isascii() and text.isdigit()):
        raise InputError(f"options: layer: got '{text}'; allowed: a number, or {PROPORTIONAL}")
    layer = proportional_layer(depth, int(share[1]), int(share[2])) if share else int(text)
    if layer > depth:
        raise InputError(
            f"options: layer: '{text}' is layer {layer} of a backbone of {depth}; "
            f"allowed: 0 to {depth}"
        )
    return layer


class RetrievalFormat(Format[E]):
    """A format without head and training: `forward` gives sentence vectors.

    What `computing` names is computed in one pass, whatever the options it then decodes with.
    """

    trained: ClassVar[bool] = False

    def __init__(self, retrieval: RetrievalOptions | None = None) -> None:
        self.retrieval = retrieval or RetrievalOptions()
        self._computed: tuple[RetrievalOptions, ...] = ()
        self._folder: Path | None = None
        if self.retrieval.pooling not in POOLINGS:
            raise InputError(
                f"pooling '{self.retrieval.pooling}' is unknown; allowed: {', '.join(POOLINGS)}"
            )

    def configured(self, options: Mapping[str, Any], depth: int) -> Self:
        """`layer`: a number, or `proportional-N/OF` of the depth; `pooling`: mean or cls."""
        check_names(self.name, options, ("layer", "pooling"))
        layer = layer_of(str(options.get("layer", PROPORTIONAL)), depth)
        return self.with_options(RetrievalOptions(layer, options.get("pooling", "mean")))

    def with_options(self, retrieval: RetrievalOptions) -> Self:
        """The same format with another layer or pooling."""
        other = copy(self)
        RetrievalFormat.__init__(other, retrieval)
        return other

    def computing(self, wanted: Sequence[RetrievalOptions], folder: Path | None = None) -> Self:
        """The same format whose `forward` gives the vectors of all of `wanted`.

        They are kept in files of `folder` if there is one, else in memory.
        """
        other = copy(self)
        other._computed, other._folder = tuple(wanted), folder
        return other

    def signature(self) -> dict[str, str]:
        """Layer and pooling."""
        return {"layer": str(self.retrieval.layer), "pooling": self.retrieval.pooling}

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """InputError: there is no head."""
        raise InputError(f"{self.name} has no head; evaluate the encoder as it is")

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """InputError: there is nothing to train."""
        raise InputError(f"{self.name} is not trained; evaluate the encoder as it is")

    def weight(self, feature: Feature) -> float:
        """1 per sentence."""
        return 1.0

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """Vectors `[B, d]` in float32 by `RetrievalOptions.key`.

        No head is used, and layers above the highest that is asked for do not run.
        """
        wanted = self._computed or (self.retrieval,)
        encoder = model.roberta.encoder
        layers, top = encoder.layer, max(one.layer for one in wanted)
        for one in wanted:
            if not 0 <= one.layer <= len(layers):
                raise InputError(
                    f"retrieval layer {one.layer} is missing; allowed: 0 to {len(layers)}"
                )
        several = any(one.layer != top for one in wanted)
        encoder.layer = layers[:top]
        try:
            # the encoder itself, not the model, which would run its active head
            output = model.roberta(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                output_hidden_states=several,
                return_dict=True,
            )
        finally:
            encoder.layer = layers
        states = output.hidden_states if several else {top: output.last_hidden_state}
        return {one.key: _pool(states[one.layer], batch, one.pooling) for one in wanted}

    def layers_run(self, depth: int) -> int:
        """Those up to the highest that vectors are asked of."""
        return max(one.layer for one in self._computed or (self.retrieval,))

    def lowest_layer(self, depth: int) -> int:
        """The lowest of those that vectors are asked of."""
        return min(one.layer for one in self._computed or (self.retrieval,))

    def storage(self, count: int) -> MutableSequence[Logits]:
        """A table of vectors."""
        return VectorTable(count, self._folder)


class VectorTable(MutableSequence[Logits]):
    """Vectors of `count` features as one matrix `[count, d]` per key: half of a list's memory.

    With a folder the matrices are files there.
    """

    def __init__(self, count: int, folder: Path | None = None) -> None:
        self._count, self._folder = count, folder
        self._matrices: dict[str, Vectors] = {}

    def matrix(self, key: str) -> Vectors:
        """All vectors of one kind, in the order of the features."""
        return self._matrices[key]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):  # a view: the matrix may be all that fits
            part = VectorTable(len(range(*index.indices(self._count))), self._folder)
            part._matrices = {key: matrix[index] for key, matrix in self._matrices.items()}
            return part
        return {key: matrix[index] for key, matrix in self._matrices.items()}

    def __setitem__(self, index: Any, value: Any) -> None:
        for key, vector in value.items():
            if key not in self._matrices:
                self._matrices[key] = self._new(key, len(vector))
            self._matrices[key][index] = vector

    def __delitem__(self, index: Any) -> None:
        raise TypeError("a table of vectors has a fixed length")

    def insert(self, index: int, value: Logits) -> None:
        """TypeError: the length is fixed."""
        raise TypeError("a table of vectors has a fixed length")

    def _new(self, key: str, width: int) -> Vectors:
        shape = (self._count, width)
        if self._folder is None:
            return np.empty(shape, np.float32)
        return np.memmap(self._folder / f"{key}.f32", np.float32, "w+", shape=shape)


def encode_sentences(
    sentences: Sequence[tuple[int, str, str]],
    tokenizer: PreTrainedTokenizerFast,
    options: EncodeOptions,
) -> list[Feature]:
    """One feature per (index of the example, side, text), cut at `max_length`."""
    specials = Specials.of(tokenizer)
    room = options.max_length - specials.single_length
    if room < 1:
        raise InputError(
            f"max_length {options.max_length} leaves no room for text; "
            f"allowed: {specials.single_length + 1} or more"
        )
    ids = token_ids(tokenizer, [text for _, _, text in sentences])
    return [
        Feature((specials.join(ids[text][:room]),), index, extra=side)
        for index, side, text in sentences
    ]


def side_vectors(
    logits: Sequence[Logits], features: Sequence[Feature], side: str, key: str
) -> Vectors:
    """The vectors `[n, d]` of one side, in the order of its features."""
    if len(logits) != len(features):
        raise ValueError(f"{len(logits)} vectors for {len(features)} features")
    rows = [row for row, feature in enumerate(features) if feature.extra == side]
    if not isinstance(logits, VectorTable):
        return np.stack([logits[row][key] for row in rows])
    matrix = logits.matrix(key)
    if rows[-1] - rows[0] + 1 == len(rows):
        return matrix[rows[0] : rows[-1] + 1]  # a view: the matrix may be all that fits
    return matrix[rows]


def _pool(hidden: torch.Tensor, batch: Batch, pooling: Pooling) -> torch.Tensor:
    hidden = hidden.float()
    if pooling == "cls":
        return hidden[:, 0]
    mask = batch.attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1)
