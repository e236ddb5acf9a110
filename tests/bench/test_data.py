"""A suite's data: what goes to a worker process is small, and the worker reads the same."""

from __future__ import annotations

import pickle

from harness.bench import SuiteData
from harness.catalog import Catalog, default_directory
from harness.data import DataContext
from tests.bench.conftest import Runner


def test_what_goes_to_a_worker_holds_no_loaded_data(tiny: Runner) -> None:
    catalog = Catalog.load([default_directory(), tiny.catalog])
    data = SuiteData(catalog, catalog.suite("tiny"), DataContext())
    empty = len(pickle.dumps(data))
    target = catalog.target("tiny-nli")
    loaded = [data.target(target, "train"), *data.tests(target).values()]
    whole = len(pickle.dumps(data))
    sent = pickle.dumps(data.portable())
    assert len(sent) == empty < whole
    other = pickle.loads(sent)
    again = [other.target(target, "train"), *other.tests(target).values()]
    assert [one.fingerprint for one in again] == [one.fingerprint for one in loaded]
    assert len(pickle.dumps(data)) >= whole  # and nothing was forgotten here
