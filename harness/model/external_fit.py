"""Adapters from elsewhere on a backbone: whether one fits, whether several fuse, copying one in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from adapters import AdapterConfig, SeqBnConfig, XLMRobertaAdapterModel
from adapters.loading import AdapterLoader
from transformers import XLMRobertaConfig

from harness.catalog import Backbone
from harness.data import ADAPTER_CONFIG
from harness.errors import InputError
from harness.model.assembly import Assembly, load_adapter
from harness.model.backbone import fork_backbone
from harness.model.external import OpenedAdapter
from harness.model.hub import first_line

# Ids that the hub has moved into a namespace; adapters record the old ones.
_MOVED = {f"xlm-roberta-{size}": f"FacebookAI/xlm-roberta-{size}" for size in ("base", "large")}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_BUILDING = (
    ArithmeticError, AssertionError, AttributeError, ImportError, KeyError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
# Fuse takes what the up-projection gives, in every place where the adapter above it sits.
_FUSED = {
    "ln_after": False, "use_gating": False, "inv_adapter": False, "output_adapter": True,
}  # fmt: skip
# Where else it sits, how it takes its input and hands on its output: Fuse goes by its last.
_ALIKE = ("mh_adapter", "original_ln_before", "original_ln_after", "residual_before_ln")
_OWN: Mapping[str, Any] = SeqBnConfig().to_dict()  # of the adapters that are trained here


def check_fits(opened: OpenedAdapter, backbone: Backbone, hidden_size: int, layers: int) -> None:
    """InputError unless it was trained on this backbone, as far as its files can tell."""
    another = f"choose an adapter of backbone '{backbone.name}', or another --backbone"
    first = backbone.first_adapter_layer
    if not _stands_above(opened, first):
        allowed = f"a list with {', '.join(map(str, range(first)))}, and no inv_adapter, for "
        allowed += f"adapters of backbone '{backbone.name}' stand in layer {first} and above"
        raise opened.wrong("config.leave_out", _left_out(opened), allowed, another)
    width = opened.about.get("hidden_size")
    if width != hidden_size:
        allowed = f"{hidden_size}, the width of backbone '{backbone.name}'"
        raise opened.wrong("hidden_size", width, allowed, another)
    base, wanted = _hub_id(opened.about.get("model_name")), _hub_id(backbone.hub)
    if base is not None and wanted is not None and base != wanted:
        allowed = f"'{wanted}', which is backbone '{backbone.name}'"
        raise opened.wrong("model_name", opened.about["model_name"], allowed, another)
    expected, found = _expected_shapes(opened, hidden_size, layers)
    where = f"source '{opened.source}': {opened.folder}"
    on = f"on backbone '{backbone.name}' ({layers} layers, {hidden_size} wide)"
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            got, allowed = (str(list(one[name])) if name in one else "nothing"
                            for one in (found, expected))  # fmt: skip
            raise InputError(f"{where}: {name}: got {got}; allowed: {allowed} {on}; {another}")


def check_fuses(
    opened: OpenedAdapter, recipe: str, like: OpenedAdapter | str, first_layer: int = 0
) -> None:
    """InputError where Fuse would use it in another way than alone.

    `like` is the source that it must be like, by its name alone if its adapter is trained here;
    `first_layer` is the backbone's first with adapters.
    """
    todo = f"leave it out of source sets of recipe '{recipe}', or use a recipe that stacks it"
    for key, wanted in _FUSED.items():
        got = opened.config.get(key, _OWN[key])
        if bool(got) != wanted:
            allowed = "true" if wanted else "none"
            allowed += ", for fusion takes the output of its up-projection in every layer"
            raise opened.wrong(f"config.{key}", got, allowed, todo)
    if set(_left_out(opened)) != set(range(first_layer)):
        allowed = json.dumps(list(range(first_layer))) if first_layer else "none"
        allowed += ", for fusion takes the output of its up-projection in every layer"
        allowed += f" from {first_layer}" if first_layer else ""
        raise opened.wrong("config.leave_out", _left_out(opened), allowed, todo)
    theirs, name = (_OWN, like) if isinstance(like, str) else (like.config, like.source)
    for key in _ALIKE:
        got, wanted = (one.get(key, _OWN[key]) for one in (opened.config, theirs))
        if got != wanted:
            allowed = f"{json.dumps(wanted)} as in source '{name}', for they share their input"
            raise opened.wrong(f"config.{key}", got, allowed, todo)


def import_adapter(base: XLMRobertaAdapterModel, opened: OpenedAdapter, name: str) -> Assembly:
    """The backbone with the adapter, active, frozen, and called `name`."""
    assembly = Assembly(fork_backbone(base, share=True))
    assembly.model.add_adapter(name, config=_bottleneck(opened))
    load_adapter(assembly.model, opened.folder, name)
    assembly.activate(name)
    assembly.train_groups({})
    return assembly


def _left_out(opened: OpenedAdapter) -> list[int]:
    """The layers in which it does not stand."""
    found = opened.config.get("leave_out") or []
    if not isinstance(found, list) or any(type(one) is not int for one in found):
        todo = "correct the file, or ask its author for a whole one"
        raise opened.wrong("config.leave_out", found, "a list of layers, which are numbers", todo)
    return found


def _stands_above(opened: OpenedAdapter, layer: int) -> bool:
    """Whether nothing below a layer depends on it."""
    if layer == 0:
        return True
    return set(range(layer)) <= set(_left_out(opened)) and not opened.config.get("inv_adapter")


def _bottleneck(opened: OpenedAdapter) -> AdapterConfig:
    # With a seed of its own it would reset that of the run wherever it is added.
    return AdapterConfig.load({**opened.config, "init_weights_seed": None})


def _expected_shapes(
    opened: OpenedAdapter, hidden_size: int, layers: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """By the library's names: the shapes of such an adapter on such a backbone, and its own."""
    settings = XLMRobertaConfig(
        vocab_size=2, hidden_size=hidden_size, num_hidden_layers=layers, num_attention_heads=1,
        intermediate_size=1, max_position_embeddings=4,
    )  # fmt: skip
    name = "adapter"
    try:
        with torch.device("meta"):  # shapes without memory
            model = XLMRobertaAdapterModel(settings)
            model.add_adapter(name, config=_bottleneck(opened))
    except _BUILDING as error:
        got = f"what the library cannot build ({first_line(error)})"
        raise InputError(
            f"source '{opened.source}': {opened.folder / ADAPTER_CONFIG}: config: got {got}; "
            "allowed: what save_adapter of its present version writes; choose another adapter"
        ) from error
    loader = AdapterLoader(model)
    ours, rename = loader.filter_func(name), loader.rename_func(opened.name, name)
    expected = {key: tuple(one.shape) for key, one in model.state_dict().items() if ours(key)}
    prefix = f"{model.base_model_prefix}."
    whole = any(key.startswith(prefix) for key in opened.shapes)  # else saved from a bare encoder
    found = {rename(key if whole else prefix + key): one for key, one in opened.shapes.items()}
    return expected, found


def _hub_id(name: object) -> str | None:
    """A hub id in today's spelling; None for what is none, such as a folder or a name of ours."""
    if not isinstance(name, str):
        return None
    moved = _MOVED.get(name, name)
    return moved if _HUB_ID.fullmatch(moved) else None
