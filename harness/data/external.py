"""The files of an adapter from elsewhere, as the `adapters` library names them."""

from __future__ import annotations

from pathlib import Path

from harness.catalog import ExternalAdapter
from harness.errors import reading

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter.safetensors", "pytorch_adapter.bin")  # the first that is there is read


def adapter_files(adapter: ExternalAdapter) -> list[tuple[str, bool]]:
    """Each file that is read of a local folder, and whether it is there; none of the hub's."""
    if adapter.folder is None:
        return []
    folder = Path(adapter.folder)
    with reading(folder):
        weights = next((n for n in ADAPTER_WEIGHTS if (folder / n).is_file()), ADAPTER_WEIGHTS[0])
        return [(str(folder / n), (folder / n).is_file()) for n in (ADAPTER_CONFIG, weights)]
