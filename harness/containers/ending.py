"""How a container ended: the engine may learn that memory ran out only after the end."""

from __future__ import annotations

import time
from typing import Any

from docker.models.containers import Container

KILLED = 128 + 9
_KILLED_SECONDS, _FAILED_SECONDS = 2.0, 1.0  # every failure of another kind takes that longer


def state_at_end(container: Container) -> dict[str, Any]:
    """The state of a container that has ended; if it failed, after a wait for `OOMKilled`.

    It is set when the kernel killed any process in it, also a child: the exit code is then any.
    """
    container.reload()
    state: dict[str, Any] = container.attrs["State"]
    wait = _KILLED_SECONDS if state["ExitCode"] == KILLED else _FAILED_SECONDS
    until = time.monotonic() + wait
    while state["ExitCode"] and not state["OOMKilled"] and time.monotonic() < until:
        time.sleep(0.05)
        container.reload()
        state = container.attrs["State"]
    return state
