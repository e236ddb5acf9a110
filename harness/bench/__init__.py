"""Plan -> steps -> store -> records; the local executor."""

from harness.bench.backbones import (
    KnownBackbone,
    check_fit,
    declared_backbone,
    inspect_backbone,
)
from harness.bench.data import SuiteData
from harness.bench.evaluate import evaluate_model, find_backbone
from harness.bench.flops import Compute, compute
from harness.bench.footprint import Footprint, footprint, worker_memory
from harness.bench.gpus import GPUS, Gpu, Speed, find_gpu, speed_of
from harness.bench.layers import check_sweep, parse_layers, sweep_layers
from harness.bench.lengths import MEAN_TOKENS
from harness.bench.local import LocalExecutor, Observer
from harness.bench.outlook import Group, Outlook, look_at
from harness.bench.plan import Cell, Plan, Selection
from harness.bench.planning import make_plan, plan_source
from harness.bench.prefix_store import check_prefix
from harness.bench.records import RecordMaker, record_path
from harness.bench.run import Bench
from harness.bench.saved_model import SavedModel, check_target, open_model
from harness.bench.scoring import Scorer
from harness.bench.steps import Settings, SourceWork, Step
from harness.bench.store import Store, verify_artifact

__all__ = [
    "GPUS",
    "MEAN_TOKENS",
    "Bench",
    "Cell",
    "Compute",
    "Footprint",
    "Gpu",
    "Group",
    "KnownBackbone",
    "LocalExecutor",
    "Observer",
    "Outlook",
    "Plan",
    "RecordMaker",
    "SavedModel",
    "Scorer",
    "Selection",
    "Settings",
    "SourceWork",
    "Speed",
    "Step",
    "Store",
    "SuiteData",
    "check_fit",
    "check_prefix",
    "check_sweep",
    "check_target",
    "compute",
    "declared_backbone",
    "evaluate_model",
    "find_backbone",
    "find_gpu",
    "footprint",
    "inspect_backbone",
    "look_at",
    "make_plan",
    "open_model",
    "parse_layers",
    "plan_source",
    "record_path",
    "speed_of",
    "sweep_layers",
    "verify_artifact",
    "worker_memory",
]
