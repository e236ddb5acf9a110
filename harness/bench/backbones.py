"""What planning knows of a backbone before it is loaded, and which tasks it cannot read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from transformers import XLMRobertaConfig

import harness
from harness.bench.scoring import target_format
from harness.catalog import Backbone, Pretraining, Shape, Source, Target
from harness.errors import InputError, expand_home, reading
from harness.model import BackboneFiles, cached_config, locate_backbone

_MAKE_WORLD = "write the folder again with `python -m harness.train.nano --seed N --out DIR`"


@dataclass(frozen=True, slots=True)
class KnownBackbone:
    """A backbone as planning sees it; `files` is None where a step has to make it.

    Nor has it files in a plan from declared sizes, which reads no weights.
    """

    spec: Backbone
    files: BackboneFiles | None
    shape: Shape


def inspect_backbone(spec: Backbone, files: BackboneFiles | None = None) -> KnownBackbone:
    """Find a backbone (its files may be known) and read its shape."""
    if spec.pretrain is not None and files is None:
        return KnownBackbone(spec, None, _checked_first(spec, _pretrained_shape(spec.pretrain)))
    files = files or locate_backbone(spec)
    return KnownBackbone(spec, files, _checked_shape(spec, files.folder))


def declared_backbone(spec: Backbone) -> KnownBackbone:
    """A backbone without its weights: its config.json where that is at hand, else its `shape`."""
    if spec.kind == "hub":
        folder = cached_config(spec)
    elif spec.kind == "folder":
        folder = expand_home(str(spec.path), f"backbone '{spec.name}': path")
        with reading(folder):
            folder = folder if (folder / "config.json").is_file() else None
    else:
        return inspect_backbone(spec)
    if folder is not None:
        return KnownBackbone(spec, None, _checked_shape(spec, folder))
    if spec.shape is None:
        raise InputError(
            f"backbone '{spec.name}': its files are not here and its YAML has no `shape`; add "
            "shape (its config.json has the numbers), or choose another --backbone"
        )
    return KnownBackbone(spec, None, _checked_first(spec, spec.shape))


def world_of(spec: Backbone) -> int | None:
    """The seed of the world that a folder was pretrained on (its world.json), if on any."""
    if spec.kind == "builtin":
        folder = Path(harness.__file__).parent / str(spec.path)
    elif spec.kind == "folder":
        folder = expand_home(str(spec.path), f"backbone '{spec.name}': path")
    else:
        return None
    note = folder / "world.json"
    with reading(note):
        there = note.is_file()
    if not there:
        return None
    try:
        seed = json.loads(note.read_bytes())["world_seed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{note}: not a JSON object with world_seed ({type(error).__name__}); {_MAKE_WORLD}"
        ) from error
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        got = json.dumps(seed)[:80]
        raise InputError(
            f"{note}: world_seed: got {got}; allowed: a whole number from 0; {_MAKE_WORLD}"
        )
    return seed


def common_world(specs: Sequence[Backbone]) -> int | None:
    """The one world of these backbones; InputError if they were made for different ones.

    The rows of a run come from one world: with a backbone of another it would score noise.
    """
    worlds = {spec.name: world_of(spec) for spec in specs}
    seeds = {seed for seed in worlds.values() if seed is not None}
    if len(seeds) > 1:
        got = ", ".join(f"{name} (world {seed})" for name, seed in worlds.items())
        raise InputError(
            f"backbones of different worlds: {got}; allowed: backbones of one world in a run; "
            "choose one with --backbone and give each run an --out of its own"
        )
    return next(iter(seeds), None)


def check_fit(
    known: KnownBackbone, task: Source | Target, setting: str, *, trained: bool = True
) -> None:
    """InputError if the backbone cannot read the task: its languages, longest input, layer.

    Without `trained` a target is only scored, so its setting does not matter.
    """
    spec, shape = known.spec, known.shape
    kind = "source" if isinstance(task, Source) else "target"
    if not task.world and (spec.world or world_of(spec) is not None):
        codes = (task.language,) if isinstance(task, Source) else task.languages
        shown = ", ".join(codes[:3]) + (f" and {len(codes) - 3} more" if len(codes) > 3 else "")
        raise InputError(
            f"--backbone: '{spec.name}' knows the world's languages only, not {shown} of {kind} "
            f"'{task.name}'; choose another"
        )
    for key, length in _lengths(task, setting, trained):
        if length > shape.positions:
            raise InputError(
                f"{kind} '{task.name}': {key} is {length}, but backbone '{spec.name}' reads at "
                f"most {shape.positions} tokens; lower it, or choose another backbone"
            )
    if isinstance(task, Target):
        try:
            target_format(task, shape.layers)
        except InputError as error:
            raise InputError(
                f"target '{task.name}': {error}; correct the target, or choose a backbone that "
                f"fits it ('{spec.name}' has {shape.layers} layers)"
            ) from error


def _lengths(task: Source | Target, setting: str, trained: bool) -> Iterator[tuple[str, int]]:
    if isinstance(task, Source):
        if task.adapter is not None:
            return  # its rows are not read
        key = f"settings.{setting}" if setting in task.settings else "training"
        yield f"{key}.max_length", task.training_for(setting).max_length
        return
    if trained and setting in task.settings:
        yield f"settings.{setting}.max_length", task.settings[setting].max_length
    yield "max_length", task.max_length


def _pretrained_shape(spec: Pretraining) -> Shape:
    return Shape(
        spec.vocabulary, spec.hidden_size, spec.intermediate_size, spec.layers, spec.heads,
        spec.max_positions, dropout=False,
    )  # fmt: skip


def _checked_shape(spec: Backbone, folder: Path) -> Shape:
    """The shape that the files have; InputError if the YAML declares another."""
    found = _shape_of_folder(folder)
    for field in fields(Shape) if spec.shape is not None else ():
        there, declared = getattr(found, field.name), getattr(spec.shape, field.name)
        if there != declared:
            raise InputError(
                f"backbone '{spec.name}': shape.{field.name} is {declared}, but "
                f"{folder / 'config.json'} says {there}; correct the YAML, or take the files of "
                "that backbone"
            )
    return _checked_first(spec, found)


def _checked_first(spec: Backbone, shape: Shape) -> Shape:
    """The shape; InputError if the YAML starts adapters above the last layer."""
    if spec.first_adapter_layer >= shape.layers:
        raise InputError(
            f"backbone '{spec.name}': {spec.name}.yaml: first_adapter_layer: got "
            f"{spec.first_adapter_layer}; allowed: 0 to {shape.layers - 1}, for it has "
            f"{shape.layers} layers; correct the YAML"
        )
    return shape


def _shape_of_folder(folder: Path) -> Shape:
    try:
        config = XLMRobertaConfig.from_pretrained(str(folder))
        return Shape(
            int(config.vocab_size),
            int(config.hidden_size),
            int(config.intermediate_size),
            int(config.num_hidden_layers),
            int(config.num_attention_heads),
            # XLM-R counts positions from the padding index + 1
            int(config.max_position_embeddings) - int(config.pad_token_id) - 1,
            dropout=float(config.attention_probs_dropout_prob) > 0,
        )
    except (OSError, TypeError, ValueError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{folder / 'config.json'}: {text}; allowed: what save_pretrained writes for an "
            "XLM-R model"
        ) from error
