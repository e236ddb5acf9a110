"""Files of a model or adapter on the hub, at a pinned revision, through the local hub cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import InputError, WorkError


def hub_snapshot(
    owner: str, hub: str, revision: str, patterns: Sequence[str], otherwise: str
) -> Path:
    """The folder with the matching files; `owner` and `otherwise` (what to do) are for errors."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (only the hub's need it)
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(snapshot_download(hub, revision=revision, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise InputError(f"{owner}: hub: {first_line(error)}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise WorkError(
            f"{owner}: {hub}@{revision} is neither in the local hub cache nor could it be "
            f"fetched ({first_line(error)}); fetch it with a network, or {otherwise}"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
