"""Plan -> steps -> store -> records; the local executor."""

from harness.bench.data import SuiteData
from harness.bench.estimate import estimate
from harness.bench.evaluate import (
    SavedModel,
    check_target,
    evaluate_model,
    find_backbone,
    open_model,
)
from harness.bench.local import LocalExecutor, Observer, default_workers
from harness.bench.plan import Cell, Plan, Selection, make_plan, plan_source
from harness.bench.records import RecordMaker, cell_name
from harness.bench.run import Bench
from harness.bench.steps import Settings, SourceWork, Step
from harness.bench.store import Store, verify_artifact
from harness.bench.work import Worker

__all__ = [
    "Bench",
    "Cell",
    "LocalExecutor",
    "Observer",
    "Plan",
    "RecordMaker",
    "SavedModel",
    "Selection",
    "Settings",
    "SourceWork",
    "Step",
    "Store",
    "SuiteData",
    "Worker",
    "cell_name",
    "check_target",
    "default_workers",
    "estimate",
    "evaluate_model",
    "find_backbone",
    "make_plan",
    "open_model",
    "plan_source",
    "verify_artifact",
]
