"""Plan -> steps -> store -> records; the local executor."""

from harness.bench.backbones import KnownBackbone, check_fit, inspect_backbone
from harness.bench.data import SuiteData
from harness.bench.estimate import estimate
from harness.bench.evaluate import evaluate_model, find_backbone
from harness.bench.footprint import Footprint, footprint, worker_memory
from harness.bench.layers import check_sweep, parse_layers, sweep_layers
from harness.bench.local import LocalExecutor, Observer
from harness.bench.plan import Cell, Plan, Selection
from harness.bench.planning import make_plan, plan_source
from harness.bench.records import RecordMaker, record_path
from harness.bench.run import Bench
from harness.bench.saved_model import SavedModel, check_target, open_model
from harness.bench.scoring import Scorer
from harness.bench.steps import Settings, SourceWork, Step
from harness.bench.store import Store, verify_artifact

__all__ = [
    "Bench",
    "Cell",
    "Footprint",
    "KnownBackbone",
    "LocalExecutor",
    "Observer",
    "Plan",
    "RecordMaker",
    "SavedModel",
    "Scorer",
    "Selection",
    "Settings",
    "SourceWork",
    "Step",
    "Store",
    "SuiteData",
    "check_fit",
    "check_sweep",
    "check_target",
    "estimate",
    "evaluate_model",
    "find_backbone",
    "footprint",
    "inspect_backbone",
    "make_plan",
    "open_model",
    "parse_layers",
    "plan_source",
    "record_path",
    "sweep_layers",
    "verify_artifact",
    "worker_memory",
]
