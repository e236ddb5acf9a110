"""A real engine and an image with Python in it; what they need is said where they are missing."""

from __future__ import annotations

import docker
import pytest

from harness.containers.engine import connect
from harness.errors import WorkError
from tests.containers.engines import missing

# Images made by `xstilts image build` carry one of these labels.
_LABELS = ("org.xstilts.variant", "org.xstilts.base.kind")


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """The engine of this machine; without one the test is skipped.

    With XSTILTS_REQUIRE_ENGINE=1, as in CI, it fails instead.
    """
    try:
        return connect()
    except WorkError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def python_image(engine: docker.DockerClient) -> str:
    """The id of an image in which `python3` runs: the built one, else its base."""
    found = [image for label in _LABELS for image in engine.images.list(filters={"label": label})]
    if not found:
        missing("no image to run in: xstilts image build")
    return str(found[0].id)
