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
from harness.model.attention import mean_attentions
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
from harness.model.external import OpenedAdapter, open_adapter, read_adapter
from harness.model.external_fit import check_fits, check_fuses, import_adapter
from harness.model.fused_layers import attentions_to, folded, use_fused_layers
from harness.model.fusion_algebra import output_pays, scores_pay
from harness.model.numerics import Numerics, resolve_numerics

__all__ = [
    "Active",
    "Assembly",
    "BackboneFiles",
    "Numerics",
    "OpenedAdapter",
    "adapter_name",
    "adapter_names",
    "add_adapter",
    "add_fusion",
    "attentions_to",
    "cached_config",
    "check_backbone",
    "check_fits",
    "check_fuses",
    "folded",
    "fork_backbone",
    "import_adapter",
    "load_adapter",
    "load_assembly",
    "load_backbone",
    "load_head",
    "load_tokenizer",
    "locate_backbone",
    "mean_attentions",
    "open_adapter",
    "output_pays",
    "read_adapter",
    "remove_pooler",
    "resolve_numerics",
    "scores_pay",
    "silence_libraries",
    "stored_parameters",
    "use_fused_layers",
]
