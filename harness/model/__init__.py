"""Backbones, their composition with adapters and fusion, and the arithmetic they run in."""

from harness.model.assembly import (
    Active,
    Assembly,
    adapter_name,
    adapter_names,
    add_adapter,
    add_fusion,
    load_adapter,
    load_assembly,
    load_head,
    stored_parameters,
)
from harness.model.backbone import (
    BackboneFiles,
    cached_config,
    check_backbone,
    fork_backbone,
    load_backbone,
    load_tokenizer,
    locate_backbone,
    remove_pooler,
    silence_libraries,
)
from harness.model.numerics import Numerics, resolve_numerics

__all__ = [
    "Active",
    "Assembly",
    "BackboneFiles",
    "Numerics",
    "adapter_name",
    "adapter_names",
    "add_adapter",
    "add_fusion",
    "cached_config",
    "check_backbone",
    "fork_backbone",
    "load_adapter",
    "load_assembly",
    "load_backbone",
    "load_head",
    "load_tokenizer",
    "locate_backbone",
    "remove_pooler",
    "resolve_numerics",
    "silence_libraries",
    "stored_parameters",
]
