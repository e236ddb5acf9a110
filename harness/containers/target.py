"""What the images' wheels are for: CPython 3.11 on x86-64 Linux."""

from __future__ import annotations

# Wheels that run on Debian bookworm (glibc 2.36) and anything newer.
_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)),
    "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64",
)  # fmt: skip
# Of pip: these wheels, whatever Python and machine pip itself runs on.
PIP_TARGET = (
    "--python-version=3.11", "--implementation=cp", "--only-binary=:all:",
    *(f"--abi={abi}" for abi in ("cp311", "abi3", "none")),
    *(f"--platform={platform}" for platform in _PLATFORMS),
)  # fmt: skip
