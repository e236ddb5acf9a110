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
    files_of,
    fork_backbone,
    load_backbone,
    load_tokenizer,
    locate_backbone,
    remove_pooler,
    silence_libraries,
    speed_up,
)
from harness.model.external import OpenedAdapter, open_adapter, read_adapter
from harness.model.external_fit import check_fits, check_fuses, import_adapter
from harness.model.fused_layers import attentions_to, folded, library_reason, use_fused_layers
from harness.model.fusion_algebra import output_pays, scores_pay
from harness.model.numerics import Numerics, resolve_numerics
from harness.model.prefix import (
    Prefix,
    adapters_below,
    prefix_of,
    set_prefix,
    starting_at,
    states_before,
    training_mode,
)

__all__ = [
    "Active",
    "Assembly",
    "BackboneFiles",
    "Numerics",
    "OpenedAdapter",
    "Prefix",
    "adapter_name",
    "adapter_names",
    "adapters_below",
    "add_adapter",
    "add_fusion",
    "attentions_to",
    "cached_config",
    "check_backbone",
    "check_fits",
    "check_fuses",
    "files_of",
    "folded",
    "fork_backbone",
    "import_adapter",
    "library_reason",
    "load_adapter",
    "load_assembly",
    "load_backbone",
    "load_head",
    "load_tokenizer",
    "locate_backbone",
    "mean_attentions",
    "open_adapter",
    "output_pays",
    "prefix_of",
    "read_adapter",
    "remove_pooler",
    "resolve_numerics",
    "scores_pay",
    "set_prefix",
    "silence_libraries",
    "speed_up",
    "starting_at",
    "states_before",
    "stored_parameters",
    "training_mode",
    "use_fused_layers",
]
