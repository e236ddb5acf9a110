"""Plan -> steps -> store -> records; the local executor."""

from harness.bench.data import SuiteData
from harness.bench.estimate import estimate
from harness.bench.local import LocalExecutor, Observer, default_workers
from harness.bench.plan import Cell, Plan, Selection, make_plan, plan_source
from harness.bench.records import RecordMaker, cell_name
from harness.bench.run import Bench
from harness.bench.steps import Settings, SourceWork, Step
from harness.bench.store import Store, verify_artifact

__all__ = [
    "Bench",
    "Cell",
    "LocalExecutor",
    "Observer",
    "Plan",
    "RecordMaker",
    "Selection",
    "Settings",
    "SourceWork",
    "Step",
    "Store",
    "SuiteData",
    "cell_name",
    "default_workers",
    "estimate",
    "make_plan",
    "plan_source",
    "verify_artifact",
]
