"""Adapters from elsewhere: finding one, and checking all of it that needs no backbone."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from adapters.loading import WeightsLoaderHelper
from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.canonical import digest, file_digest
from harness.catalog import Source
from harness.data import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from harness.errors import InputError, reading
from harness.model.hub import first_line, hub_snapshot

_WRITTEN = "what save_adapter of the `adapters` library writes"
_MODEL_TYPE, _MODEL_CLASS = "xlm-roberta", "XLMRoberta"
_READING = (
    SafetensorError, EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
# Options of bottleneck adapters that are refused, and why.
_REFUSED = {
    "is_parallel": "its output goes beside its layer's, where an adapter stacked on it cuts it off",
    "ln_before": "its weights have two names each then, and safetensors cannot hold such",
}


@dataclass(frozen=True, slots=True)
class OpenedAdapter:
    """An adapter from elsewhere whose files are sound; `digest` is over their contents."""

    source: str
    folder: Path
    digest: str
    about: Mapping[str, Any]  # adapter_config.json
    shapes: Mapping[str, tuple[int, ...]]  # of its tensors, by the names in the file

    @property
    def name(self) -> str:
        """Its name in its files."""
        return str(self.about["name"])

    @property
    def config(self) -> Mapping[str, Any]:
        """What kind of bottleneck adapter it is."""
        config: Mapping[str, Any] = self.about["config"]
        return config

    @property
    def weights(self) -> int:
        """Number of its weights."""
        return sum(map(math.prod, self.shapes.values()))

    def wrong(self, key: str, got: object, allowed: str, todo: str) -> InputError:
        """What to raise where a value of adapter_config.json is not what it must be."""
        return _wrong(self.source, self.folder / ADAPTER_CONFIG, key, got, allowed, todo)


def open_adapter(source: Source) -> OpenedAdapter:
    """The adapter of a source from elsewhere, fetched if need be; InputError if it is not sound."""
    adapter = source.adapter
    assert adapter is not None, f"{source.name} is trained here"
    if adapter.folder is not None:
        return read_adapter(source.name, Path(adapter.folder), source.get)
    prefix = f"{adapter.subfolder}/" if adapter.subfolder else ""
    patterns = [prefix + name for name in (ADAPTER_CONFIG, *ADAPTER_WEIGHTS)]
    otherwise = "write `folder:` of a copy instead of `hub:` into its YAML"
    owner, hub, revision = f"source '{source.name}'", str(adapter.hub), str(adapter.revision)
    folder = hub_snapshot(owner, hub, revision, patterns, otherwise)
    return read_adapter(source.name, folder / adapter.subfolder, source.get)


def read_adapter(source: str, folder: Path, get: str = "") -> OpenedAdapter:
    """The adapter in a folder; InputError (one line) if anything about its files is wrong."""
    todo = f"get it: {get}" if get else "correct `adapter:` in the source's YAML"
    with reading(folder):
        file = folder / ADAPTER_CONFIG
        if not file.is_file():
            lacks = f"no {ADAPTER_CONFIG}" if folder.is_dir() else "no such folder"
            raise InputError(f"source '{source}': {folder}: {lacks}; allowed: {_WRITTEN}; {todo}")
        weights = next((folder / n for n in ADAPTER_WEIGHTS if (folder / n).is_file()), None)
        if weights is None:
            raise InputError(
                f"source '{source}': {folder}: no weights; allowed: one of "
                f"{', '.join(ADAPTER_WEIGHTS)}; {todo}"
            )
        about = _read_config(source, file)
        shapes = _read_weights(source, weights)
        key = digest({path.name: file_digest(path) for path in (file, weights)})
        return OpenedAdapter(source, folder, key, about, shapes)


def _read_config(source: str, file: Path) -> Mapping[str, Any]:
    """adapter_config.json, as the library reads it, of an adapter that recipes can compose."""
    try:
        helper = WeightsLoaderHelper(None, ADAPTER_WEIGHTS[-1], ADAPTER_CONFIG)
        about = helper.load_weights_config(str(file.parent))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        text = f"no JSON object that describes an adapter ({first_line(error)})"
        raise InputError(f"source '{source}': {file}: {text}; allowed: {_WRITTEN}") from error

    def wrong(key: str, got: object, allowed: str) -> InputError:
        return _wrong(source, file, key, got, allowed, "choose another adapter")

    if not isinstance(about, dict):
        raise wrong("", about, _WRITTEN)
    if "peft_type" in about:
        raise wrong("peft_type", about["peft_type"], f"{_WRITTEN}, no other library")
    config, name = about.get("config"), about.get("name")
    if not isinstance(config, dict):
        raise wrong("config", config, f"a mapping, {_WRITTEN}")
    if not isinstance(name, str) or not name:
        raise wrong("name", name, f"text, {_WRITTEN}")
    if about.get("model_type") != _MODEL_TYPE:
        raise wrong("model_type", about.get("model_type"), f"{_MODEL_TYPE}, as all backbones are")
    kind = about.get("model_class")
    if kind is not None and not str(kind).startswith(_MODEL_CLASS):
        raise wrong("model_class", kind, f"a class of {_MODEL_CLASS} models")
    if config.get("architecture") is not None:
        allowed = "bottleneck adapters (without `architecture`), which alone recipes can compose"
        raise wrong("config.architecture", config["architecture"], allowed)
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise wrong(f"config.{key}", config[key], f"false: {reason}")
    return about


def _read_weights(source: str, file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a file, which must all be finite numbers."""
    where = f"source '{source}': {file}"
    tensors: Any
    try:
        if file.name == ADAPTER_WEIGHTS[0]:
            tensors = load_file(file)
        else:  # a pickle; only one of plain tensors is opened
            with warnings.catch_warnings(action="ignore"):  # of odd ones, which are errors anyway
                tensors = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{where}: a pickle that holds more than tensors, or is damaged, and pickles can run "
            f"code; allowed: tensors alone; ask its publisher for {ADAPTER_WEIGHTS[0]}"
        ) from error
    except _READING as error:
        raise InputError(
            f"{where}: cannot be read ({first_line(error)}); allowed: {_WRITTEN}, the whole file; "
            "copy or fetch it again"
        ) from error
    if not isinstance(tensors, Mapping) or not tensors:
        raise InputError(f"{where}: no tensors by name in it; allowed: {_WRITTEN}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            got = getattr(tensor, "dtype", type(tensor).__name__)
            raise InputError(f"{where}: {name}: got {got}; allowed: floating-point tensors")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"{where}: {name}: got weights that are not finite; allowed: numbers; "
                "its training failed: choose another adapter"
            )
    return {str(name): tuple(tensor.shape) for name, tensor in tensors.items()}


def _wrong(source: str, file: Path, key: str, got: object, allowed: str, todo: str) -> InputError:
    place = f"{file}: {key}" if key else str(file)
    shown = "nothing" if got is None else json.dumps(got, ensure_ascii=False)[:80]
    return InputError(f"source '{source}': {place}: got {shown}; allowed: {allowed}; {todo}")
