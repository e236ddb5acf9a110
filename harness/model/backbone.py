"""Backbones: where their files are, what identifies them, and loading them without their pooler."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from adapters import XLMRobertaAdapterModel
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

import harness
from harness.canonical import digest, file_digest
from harness.catalog import Backbone
from harness.errors import InputError, expand_home, reading
from harness.model.fused_layers import use_fused_layers
from harness.model.hub import first_line, hub_snapshot
from harness.model.lean_layers import use_lean_layers
from harness.model.prefix import Prefix, set_prefix

_SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_OLD_WEIGHTS = "pytorch_model.bin"  # the library reads it only where there are no safe ones
_TOKENIZER = ("tokenizer.json", "sentencepiece.bpe.model")
_IDENTITY_PATTERNS = (
    "config.json",
    "*.safetensors",
    "*.index.json",
    "tokenizer*",
    "sentencepiece*",
    "special_tokens_map.json",
    "added_tokens.json",
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackboneFiles:
    """A backbone in a local folder; `digest` is over the contents of its files."""

    name: str
    folder: Path
    digest: str
    reduction_factor: int
    first_adapter_layer: int = 0
    prefix_dropout: bool = True


def locate_backbone(spec: Backbone) -> BackboneFiles:
    """The files of a backbone that exists (not `pretrain`); those of a hub id may be fetched."""
    if spec.kind == "builtin":
        folder = Path(harness.__file__).parent / str(spec.path)
    elif spec.kind == "folder":
        folder = expand_home(str(spec.path), f"backbone '{spec.name}': path")
    elif spec.kind == "hub":
        folder = _hub_snapshot(spec)
    else:
        raise InputError(f"backbone '{spec.name}': kind '{spec.kind}' is made by a step, not found")
    return files_of(spec, folder)


def files_of(spec: Backbone, folder: Path) -> BackboneFiles:
    """The files in a folder as the backbone that a spec describes."""
    return BackboneFiles(
        spec.name,
        folder,
        check_backbone(folder),
        spec.reduction_factor,
        spec.first_adapter_layer,
        spec.prefix_dropout,
    )


def cached_config(spec: Backbone) -> Path | None:
    """The folder of a hub backbone's config.json if the local hub cache has it; fetches nothing."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    found = try_to_load_from_cache(str(spec.hub), "config.json", revision=spec.revision)
    return Path(found).parent if isinstance(found, str) else None


def check_backbone(folder: Path) -> str:
    """The content digest of a backbone folder; InputError if it is not an XLM-R-shaped model."""
    with reading(folder):
        return _checked_digest(folder)


def _checked_digest(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: no config.json; a backbone folder is what save_pretrained writes"
        )
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'}: no JSON: {first_line(error)}") from error
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type != "xlm-roberta":
        raise InputError(
            f"{folder / 'config.json'}: model_type '{model_type}'; allowed: xlm-roberta"
        )
    for names, what in (((*_SAFE_WEIGHTS, _OLD_WEIGHTS), "weights"), (_TOKENIZER, "tokenizer")):
        if not any((folder / name).is_file() for name in names):
            raise InputError(f"{folder}: no {what}; expected one of {', '.join(names)}")
    files = sorted({path for pattern in _IDENTITY_PATTERNS for path in folder.glob(pattern)})
    if not _has_safe_weights(folder):
        files.append(folder / _OLD_WEIGHTS)
    return digest({path.name: file_digest(path) for path in files})


def _has_safe_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SAFE_WEIGHTS)


@cache
def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The backbone's fast tokenizer, cached per process."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # whatever the library's fallbacks for damaged files run into
        raise InputError(
            f"{folder}: the tokenizer cannot be loaded ({first_line(error)}); "
            "is tokenizer.json whole?"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(f"{folder}: the tokenizer has no fast form, which offsets and words need")
    return tokenizer


def load_backbone(
    files: BackboneFiles, device: torch.device, dtype: torch.dtype = torch.float32
) -> XLMRobertaAdapterModel:
    """The pretrained encoder on `device`, frozen, in evaluation mode, without pooler and heads.

    `dtype` is that of the matrices of its layers: under autocast to it they give the very numbers
    of float32 ones, which would be cast in every pass. They cannot be trained.
    """
    torch.manual_seed(0)  # a pooler that is not in the checkpoint is initialised, and then removed
    try:
        model, info = XLMRobertaAdapterModel.from_pretrained(
            str(files.folder), output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise InputError(f"{files.folder}: cannot be loaded: {first_line(error)}") from error
    lacking = sorted(name for name in info["missing_keys"] if ".pooler." not in name)
    if lacking:  # the library would start them at random, and say so in a warning
        raise InputError(
            f"{files.folder}: the weights lack {len(lacking)} tensors that config.json asks for, "
            f"{lacking[0]} the first; config and weights must be of one model"
        )
    remove_pooler(model)
    speed_up(model, dtype)
    set_prefix(model, Prefix(files.first_adapter_layer, files.prefix_dropout, files.digest))
    # Saved adapters name their backbone; a path of this machine says nothing to anybody else.
    model.config._name_or_path = files.name
    model.requires_grad_(False)
    return model.to(device).eval()


def speed_up(model: XLMRobertaAdapterModel, dtype: torch.dtype = torch.float32) -> None:
    """Fused and lean layers for a model as the library made it; its matrices in `dtype`."""
    use_fused_layers(model)
    use_lean_layers(model)
    for layer in model.roberta.encoder.layer:
        for name, module in layer.named_modules():
            if isinstance(module, torch.nn.Linear) and "adapter" not in name:
                module.to(dtype)


class _NoPooler(torch.nn.Module):
    """Stands where the library expects a pooler: no head uses one, some checkpoints lack it."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden state of `<s>`: [B, L, d] -> [B, d]."""
        return hidden[:, 0]


def remove_pooler(model: XLMRobertaAdapterModel) -> None:
    """Take the pooler's weights out of the model."""
    model.roberta.pooler = _NoPooler()


def silence_libraries() -> None:
    """Turn off the notices of transformers and adapters about heads and adapters that we manage."""
    transformers_logging.set_verbosity_error()
    logging.getLogger("adapters").setLevel(logging.ERROR)


def fork_backbone(base: XLMRobertaAdapterModel, *, share: bool) -> XLMRobertaAdapterModel:
    """A copy to hang adapters on; with `share` it has the base's own frozen tensors.

    Without, all of it may be trained, so nothing is known of its lowest layers.
    """
    memo: dict[int, object] = {}
    if share:
        memo |= {id(tensor): tensor for tensor in base.parameters()}
        memo |= {id(tensor): tensor for tensor in base.buffers()}
    fork = copy.deepcopy(base, memo)
    if not share:
        set_prefix(fork, Prefix())
    return fork


def _hub_snapshot(spec: Backbone) -> Path:
    if not spec.hub or not spec.revision:
        raise InputError(
            f"backbone '{spec.name}': a hub backbone needs hub: and revision: (a commit); "
            "pin one in its YAML or pass --backbone namespace/name@revision"
        )
    owner, otherwise = f"backbone '{spec.name}'", "pass --backbone FOLDER"
    folder = hub_snapshot(owner, spec.hub, spec.revision, _IDENTITY_PATTERNS, otherwise)
    if not _has_safe_weights(folder):
        patterns = (*_IDENTITY_PATTERNS, _OLD_WEIGHTS)
        hub_snapshot(owner, spec.hub, spec.revision, patterns, otherwise)
    return folder
