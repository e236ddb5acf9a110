"""Source sets by name: the written ones, and those whose name says how they follow from others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from harness.catalog.sets import Member, SourceSet
from harness.catalog.specs import Language, Source

_WITHOUT, _IN, _OUTSIDE = "-without-", "-in-", "-outside-"
DERIVED = (
    "a source's name (that source alone), SET-without-SOURCE, SET-in-FAMILY or SET-outside-FAMILY "
    "(family or branch of the language table, as in pos-languages-in-uralic)"
)


@dataclass(frozen=True, slots=True)
class SourceSets(Mapping[str, SourceSet]):
    """All source sets; iterating gives the written ones, as the others cannot be listed.

    A derived set keeps the budget of the set it comes from, so both train on equally much.
    """

    written: Mapping[str, SourceSet]
    sources: Mapping[str, Source]
    languages: Mapping[str, Language]

    def __getitem__(self, name: str) -> SourceSet:
        found = self.written.get(name) or self._derived(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.written)

    def __len__(self) -> int:
        return len(self.written)

    def _derived(self, name: str) -> SourceSet | None:
        if name in self.sources:
            return SourceSet(name, f"{name} alone.", (Member(name),))
        for word, keep in (
            (_WITHOUT, self._is_other),
            (_IN, self._is_related),
            (_OUTSIDE, self._is_unrelated),
        ):
            base_name, found, rest = name.rpartition(word)
            if not (found and rest) or base_name not in self:
                continue
            base = self[base_name]
            kept = tuple(one for one in base.sources if keep(one, rest))
            if 0 < len(kept) < len(base.sources):
                description = f"{base_name}{word.replace('-', ' ')}{rest}: {base.description}"
                return replace(base, name=name, description=description, sources=kept)
        return None

    def _is_other(self, member: Member, source: str) -> bool:
        return member.source != source

    def _is_related(self, member: Member, family: str) -> bool:
        source = self.sources.get(member.source)
        row = self.languages.get(source.language) if source else None
        return row is not None and family in (_slug(row.family), _slug(row.branch))

    def _is_unrelated(self, member: Member, family: str) -> bool:
        return not self._is_related(member, family)


def _slug(text: str) -> str:
    """`Indo-European` as names of sets have it: indo-european."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
