"""Locks of images: the shipped ones agree with pyproject.toml; what is out of date is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.containers.lock import (
    LockedPackage,
    check_lock,
    pinned_versions,
    read_lock,
)
from harness.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = ("cpu", "cuda")
SHA = "a" * 64


def lock_of(variant: str) -> Path:
    return ROOT / "docker" / f"requirements-{variant}.lock"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout whose locks may be changed."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(lock_of("cpu"), tmp_path / "x.lock")
    return tmp_path


def change(path: Path, pattern: str, by: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, by, text, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_locks_are_up_to_date_and_hold_no_address(variant: str) -> None:
    check_lock(lock_of(variant), ROOT)
    text = lock_of(variant).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "pip" in read_lock(lock_of(variant))  # which the build installs with


def test_only_pytorch_differs_between_the_variants() -> None:
    """Everything else is the same file; CUDA's own packages are NVIDIA's, and Triton."""
    cpu, cuda = (read_lock(lock_of(variant)) for variant in VARIANTS)
    assert cpu["torch"].version == cuda["torch"].version + "+cpu"
    assert [name for name in cpu if cpu[name] != cuda.get(name)] == ["torch"]
    more = set(cuda) - set(cpu)
    assert {"nvidia-cudnn-cu13", "triton"} <= more
    assert all(name.startswith(("nvidia-", "cuda-")) for name in more - {"triton"})


@pytest.mark.parametrize("variant", VARIANTS)
def test_hashes_are_those_of_the_other_lock(variant: str) -> None:
    """requirements/runtime.lock, made by another tool, has the hashes of all builds."""
    known = set(
        re.findall(r"sha256:([0-9a-f]{64})", (ROOT / "requirements/runtime.lock").read_text())
    )
    apart = {"torch", "pip", "triton"}
    packages = read_lock(lock_of(variant)).values()
    checked = [
        package.sha256 in known
        for package in packages
        if package.name not in apart and not package.name.startswith(("nvidia-", "cuda-"))
    ]
    assert len(checked) > 50
    assert all(checked)


def test_reading(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text(f"# a comment\n\nSome_Name.x==1.0+cpu --hash=sha256:{SHA}\n")
    assert read_lock(lock) == {"some-name-x": LockedPackage("some-name-x", "1.0+cpu", SHA)}


def test_versions_of_a_file_of_requirements(tmp_path: Path) -> None:
    """Of pip-compile's kind and of plain ones; pins with a condition are left out."""
    path = tmp_path / "x.txt"
    path.write_text(
        f"# a==0\nA_b==1.0 \\\n    --hash=sha256:{SHA}\n    # via c\n"
        f"d==22 ; sys_platform == 'win32' \\\n    --hash=sha256:{SHA}\ne==3;python_version<'3'\n"
        f"torch==2.13.0\nf==4+cpu --hash=sha256:{SHA}\n"
    )
    assert pinned_versions(path) == {"a-b": "1.0", "torch": "2.13.0", "f": "4+cpu"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("numpy", ":2: 'numpy'; allowed is NAME==VERSION --hash=sha256:"),
        ("numpy==1 --hash=md5:0", ":2: 'numpy==1 --hash=md5:0'"),
        (f"numpy>=1 --hash=sha256:{SHA}", ":2: 'numpy>=1"),
        (f"A==2 --hash=sha256:{SHA}", ":2: a is there twice"),
    ],
)
def test_a_line_that_is_no_pin_is_named(tmp_path: Path, line: str, words: str) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text(f"a==1 --hash=sha256:{SHA}\n{line}\n")
    with pytest.raises(InputError) as refused:
        read_lock(lock)
    assert words in str(refused.value)
    assert "make lock" in str(refused.value)


@pytest.mark.parametrize(
    ("file", "pattern", "by", "words"),
    [
        (
            "x.lock",
            r"^numpy==\S+",
            "numpy==1.2",
            r"numpy 1\.2; pyproject.toml asks for numpy>=",
        ),
        ("x.lock", r"^click==.*\n", "", r"click is not in it; pyproject.toml asks for click>="),
        ("x.lock", r"^aiohttp==\S+", "aiohttp==9", r"has aiohttp 9; requirements/ has 3"),
        ("x.lock", r"^sympy==.*\n", "", "sympy is not in it; requirements/ has"),
        ("pyproject.toml", r"^dependencies = \[", 'dependencies = ["ray>=2",', "ray is not in it"),
        (
            "requirements/torch.txt",
            r"^torch==\S+",
            "torch==9.9",
            r"2\S+; requirements/ has 9",
        ),
    ],
)
def test_an_outdated_lock_is_named_with_what_is_wrong(
    root: Path, file: str, pattern: str, by: str, words: str
) -> None:
    check_lock(root / "x.lock", root)
    change(root / file, pattern, by)
    with pytest.raises(InputError) as refused:
        check_lock(root / "x.lock", root)
    message = str(refused.value)
    assert re.search(words, message)
    assert message.startswith(f"{root / 'x.lock'}: out of date: ")
    assert message.endswith("; run make lock")


def test_a_lock_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_lock(tmp_path / "none.lock")
