"""A real engine and an image with Python in it; what they need is said where they are missing."""

from __future__ import annotations

import docker
import pytest

from harness.containers.engine import connect
from harness.errors import WorkError
from tests.containers.engines import missing

# What `xstilts image build` makes.
_IMAGES = ("xstilts-bench", "xstilts-base")


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
    found = [image for name in _IMAGES for image in engine.images.list(name=name)]
    if not found:
        missing("no image to run in: xstilts image build")
    return str(found[0].id)
