"""A backbone with adapters, fusion and heads: building, naming what is trained, saving, loading."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from adapters import SeqBnConfig, XLMRobertaAdapterModel
from adapters.composition import Fuse, Stack
from adapters.methods.bottleneck import BottleneckLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import XLMRobertaConfig

from harness.canonical import canonical_json
from harness.errors import InputError, WorkError
from harness.model.backbone import fork_backbone
from harness.model.prefix import prefix_of

ENCODER_FILE = "model.safetensors"
COMPOSITION = "composition.json"
_NOT_ENCODER = (".adapters.", ".adapter_fusion_layer.", "prompt_tuning")
_NOT_ENCODER_SETTINGS = ("adapters", "prediction_heads", "id2label", "label2id")
Active = str | list[Any] | None  # a name, or ["stack", …] / ["fuse", …] of such


def adapter_name(source: str) -> str:
    """The name of a source's adapter inside a model: torch forbids dots in module names."""
    return source.replace(".", "_")


@dataclass(slots=True)
class Assembly:
    """A model ready for work: what is active, which heads it has, and what is trained, by group.

    `trained` maps groups (`adapter`, `fusion`, `head`, `backbone`) to the names trained in them.
    """

    model: XLMRobertaAdapterModel
    active: Active = None
    trained: dict[str, list[str]] = field(default_factory=dict)

    def activate(self, active: Active) -> None:
        """Make a composition (None: the bare backbone) the one that every forward pass uses."""
        self.active = active
        self.model.set_active_adapters(_composition(active))

    def train_groups(self, groups: dict[str, list[str]]) -> None:
        """Freeze all but the named adapters, fusions, heads (and the backbone if it is a group)."""
        self.trained = groups
        for _, parameter in self.model.named_parameters():
            parameter.requires_grad_(False)
        for _, parameter in self.trainable():
            parameter.requires_grad_(True)

    def group_of(self, parameter_name: str) -> str | None:
        """The group that trains the parameter of this name, or None if it is frozen."""
        for group, names in self.trained.items():
            if any(_belongs(parameter_name, group, name) for name in names):
                return group
        return None

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """Trained parameters with their names, in the model's order."""
        return [
            (name, parameter)
            for name, parameter in self.model.named_parameters()
            if self.group_of(name) is not None
        ]

    def count_trainable(self) -> int:
        """Number of trained weights."""
        return sum(parameter.numel() for _, parameter in self.trainable())

    @contextmanager
    def recomputing(self, wanted: bool) -> Iterator[None]:
        """Within it, if wanted, layers keep only their inputs for the backward pass."""
        if wanted:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
            # Which the library switches on with it: layers below what is trained would have graphs.
            self.model.disable_input_require_grads()
        try:
            yield
        finally:
            if wanted:
                self.model.gradient_checkpointing_disable()

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Copies of the trained tensors, on the CPU."""
        return {name: p.detach().to("cpu", copy=True) for name, p in self.trainable()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put a snapshot back; WorkError if its names are not exactly the trained ones."""
        parameters = dict(self.trainable())
        if set(parameters) != set(tensors):
            raise WorkError("a checkpoint does not fit the model; delete the store's work folder")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[name])

    def save(self, folder: Path) -> None:
        """Write the whole composition in the `adapters` library's format (safetensors).

        Every active adapter, the trained fusion and heads, the encoder if it was trained, and
        composition.json, so that `load_assembly` needs nothing but the backbone.
        """
        fusions, heads = self.trained.get("fusion", []), self.trained.get("head", [])
        for name in adapter_names(self.active):
            target = _folder(folder / "adapters" / name)
            self.model.save_adapter(str(target), name, with_head=False, use_safetensors=True)
        for name in fusions:
            target = _folder(folder / "fusion")
            self.model.save_adapter_fusion(str(target), name, use_safetensors=True)
        for name in heads:
            target = _folder(folder / "heads" / name)
            self.model.save_head(str(target), name, use_safetensors=True)
        if "backbone" in self.trained:
            self.save_backbone(_folder(folder / "backbone"))
        body = {"active": self.active, "fusions": fusions, "heads": heads}
        (folder / COMPOSITION).write_bytes(canonical_json(body))

    def save_backbone(self, folder: Path) -> None:
        """Write the encoder alone, without adapters and heads, as `save_pretrained` would."""
        settings = self.model.config.to_dict()
        for name in _NOT_ENCODER_SETTINGS:
            settings.pop(name, None)
        config = XLMRobertaConfig.from_dict(settings)
        config.architectures = ["XLMRobertaModel"]
        config.save_pretrained(str(folder))
        save_file(self._encoder_state(), folder / ENCODER_FILE, metadata={"format": "pt"})

    def _encoder_state(self) -> dict[str, torch.Tensor]:
        # The library aliases the word embeddings under prompt_tuning; safetensors refuses aliases.
        return {
            name: tensor.detach().to("cpu").contiguous()
            for name, tensor in self.model.roberta.state_dict().items()
            if not any(part in name for part in _NOT_ENCODER)
        }


def load_assembly(base: XLMRobertaAdapterModel, folder: Path) -> Assembly:
    """The assembly that `Assembly.save` wrote, on a copy of its backbone, with nothing trained."""
    try:
        composition = json.loads((folder / COMPOSITION).read_bytes())
        active, fusions, heads = (composition[k] for k in ("active", "fusions", "heads"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{folder / COMPOSITION}: missing or unreadable; is this a model?"
        ) from error
    full = folder / "backbone"
    assembly = Assembly(fork_backbone(base, share=not full.is_dir()))
    for name in adapter_names(active):
        load_adapter(assembly.model, folder / "adapters" / name, name)
    for name in fusions:
        assembly.model.load_adapter_fusion(
            str(folder / "fusion"), load_as=name, use_safetensors=True
        )
        _drop_idle_fusions(assembly.model)
    for name in heads:
        load_head(assembly.model, folder / "heads" / name, name)
    if full.is_dir():
        assembly.model.roberta.load_state_dict(load_file(full / ENCODER_FILE), strict=False)
    assembly.activate(active)
    assembly.train_groups({})
    assembly.model.to(base.device).eval()
    return assembly


def add_adapter(model: XLMRobertaAdapterModel, name: str, reduction_factor: int) -> None:
    """Add a new sequential bottleneck adapter (Pfeiffer et al. 2021), d / reduction factor wide.

    It stands in the layers above the model's prefix.
    """
    left_out = list(range(prefix_of(model).layers))
    config = SeqBnConfig(reduction_factor=reduction_factor, leave_out=left_out)
    model.add_adapter(name, config=config)


def add_fusion(model: XLMRobertaAdapterModel, names: Sequence[str]) -> str:
    """Add an AdapterFusion over the named adapters; its name is theirs joined by commas."""
    fusion = Fuse(*names)
    model.add_adapter_fusion(fusion)
    _drop_idle_fusions(model)
    return str(fusion.name)


def _drop_idle_fusions(model: XLMRobertaAdapterModel) -> None:
    """Take fusions out of layers in which none of their adapters stands.

    The library puts them there, too: they compute nothing, but would be regularised and saved.
    """
    for layer in model.modules():
        if isinstance(layer, BottleneckLayer):
            for name in list(layer.adapter_fusion_layer):
                if not any(one in layer.adapters for one in name.split(",")):
                    del layer.adapter_fusion_layer[name]


def load_adapter(model: XLMRobertaAdapterModel, folder: Path, name: str) -> None:
    """Load an adapter that the `adapters` library saved, replacing one of the same name."""
    model.load_adapter(str(folder), load_as=name, with_head=False, use_safetensors=True)


def load_head(model: XLMRobertaAdapterModel, folder: Path, name: str) -> None:
    """Load a prediction head that the `adapters` library saved, replacing one of the same name."""
    model.load_head(str(folder), load_as=name, use_safetensors=True)


def adapter_names(active: Active) -> list[str]:
    """All adapters of a composition, in order."""
    if active is None:
        return []
    if isinstance(active, str):
        return [active]
    return [name for child in active[1:] for name in adapter_names(child)]


def _composition(active: Active) -> Any:
    if active is None or isinstance(active, str):
        return active
    kind, *children = active
    return {"stack": Stack, "fuse": Fuse}[kind](*(_composition(child) for child in children))


def _belongs(parameter_name: str, group: str, name: str) -> bool:
    if group == "head":
        return parameter_name.startswith(f"heads.{name}.")
    if group == "adapter":
        return f".adapters.{name}." in parameter_name
    if group == "fusion":
        return f".adapter_fusion_layer.{name}." in parameter_name
    return parameter_name.startswith("roberta.") and not any(
        part in parameter_name for part in _NOT_ENCODER
    )


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def stored_parameters(folders: Iterable[Path]) -> int:
    """Number of weights in all safetensors files below the folders."""
    total = 0
    for path in sorted(path for folder in folders for path in folder.rglob("*.safetensors")):
        with safe_open(path, framework="pt") as handle:
            for name in handle.keys():  # noqa: SIM118  (safe_open is no mapping)
                total += math.prod(handle.get_slice(name).get_shape())
    return total
