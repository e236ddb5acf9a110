"""What `xstilts data check` does with an adapter from elsewhere: all that needs no backbone."""

from __future__ import annotations

from collections.abc import Iterable

from harness.catalog import Source
from harness.data import Finding, Owner, Split, adapter_files
from harness.errors import InputError, WorkError


def external_sources(owners: Iterable[Owner]) -> list[Source]:
    """The sources among them that are adapters from elsewhere."""
    return [one for one in owners if isinstance(one, Source) and one.adapter is not None]


def check_adapter(source: Source) -> Finding:
    """Whether the files of the adapter are there, whole, and what the recipes can compose."""
    assert source.adapter is not None, f"{source.name} is trained here"
    split = Split(source.name, "adapter", source.language, (), (), source.get, source.licence)
    missing = tuple(name for name, there in adapter_files(source.adapter) if not there)
    if missing:
        return Finding(split, missing=missing)
    # Imported here: it takes seconds, and most checks read files only.
    from harness.model import open_adapter, silence_libraries  # noqa: PLC0415

    silence_libraries()
    try:
        return Finding(split, digest=open_adapter(source).digest)
    except (InputError, WorkError) as error:  # one that cannot be fetched is a finding, too
        return Finding(split, problem=str(error))
