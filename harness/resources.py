"""Where `adapters_cfg/` and `schemas/` are: beside the package (checkout) or inside it (wheel)."""

from __future__ import annotations

from pathlib import Path

from harness.errors import WorkError

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """The folder `adapters_cfg` or `schemas` of this installation."""
    for base in (_PACKAGE.parent, _PACKAGE / "_resources"):
        # A stray folder of that name in site-packages is not ours: a checkout also has
        # pyproject.toml.
        if base == _PACKAGE.parent and not (base / "pyproject.toml").is_file():
            continue
        if (base / name).is_dir():
            return base / name
    raise WorkError(f"{name}: not found in this installation; reinstall xstilts (make setup)")
