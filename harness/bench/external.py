"""Adapters from elsewhere in a plan: opened once, and refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.bench.backbones import KnownBackbone
from harness.catalog import Recipe, Source, SourceSet, Target
from harness.errors import InputError
from harness.formats import get_format
from harness.model import OpenedAdapter, check_fits, check_fuses
from harness.recipes import get_recipe


@dataclass(slots=True)
class Externals:
    """The adapters from elsewhere of a plan, by the names of their sources.

    `find` opens one, or gives None in a plan from sizes: then nothing of its files is checked.
    """

    find: Callable[[Source], OpenedAdapter | None]
    _opened: dict[str, OpenedAdapter | None] = field(default_factory=dict)
    _fitting: set[tuple[str, str]] = field(default_factory=set)  # (source, backbone)

    def open(self, source: Source) -> OpenedAdapter | None:
        """The adapter of a source, if it is opened; InputError if its files are not sound."""
        if source.name not in self._opened:
            self._opened[source.name] = self.find(source)
        return self._opened[source.name]

    def check_fit(self, known: KnownBackbone, source: Source) -> None:
        """InputError unless the adapter, if it is from elsewhere, is one of this backbone."""
        if source.adapter is None or (source.name, known.spec.name) in self._fitting:
            return
        opened, shape = self.open(source), known.shape
        if opened is not None:
            check_fits(opened, known.spec, shape.hidden_size, shape.layers)
        self._fitting.add((source.name, known.spec.name))

    def check_recipe(
        self,
        recipe: Recipe,
        source_set: SourceSet,
        sources: Sequence[Source],
        target: Target,
        first_layer: int = 0,
    ) -> None:
        """InputError where a recipe or set needs of a source what an adapter does not bring."""
        from_elsewhere = [source for source in sources if source.adapter is not None]
        implementation = get_recipe(recipe.kind)
        if from_elsewhere and source_set.budget is not None:
            raise InputError(
                f"source '{from_elsewhere[0].name}': an adapter from elsewhere, trained on nobody "
                f"knows how much, but set '{source_set.name}' has a budget "
                f"({source_set.budget}); allowed: sources with train and dev; leave it out of the "
                "set, or give the set no budget"
            )
        mixed = implementation.joint or implementation.fit(get_format(target.format)) == "mixture"
        if from_elsewhere and mixed:
            raise InputError(
                f"source '{from_elsewhere[0].name}': an adapter from elsewhere, without rows and "
                f"head, but recipe '{recipe.name}' trains on those of its sources for target "
                f"'{target.name}'; allowed: sources with train and dev; leave it out of the set, "
                "or choose targets with training data"
            )
        if implementation.fuses:
            self._check_fuses(recipe, sources, first_layer)

    def _check_fuses(self, recipe: Recipe, sources: Sequence[Source], first_layer: int) -> None:
        """InputError unless they are alike: like those trained here, or else like the first."""
        opened = [self.open(source) for source in sources if source.adapter is not None]
        trained = next((source.name for source in sources if source.adapter is None), None)
        for adapter in opened:
            like = trained or opened[0]
            if adapter is not None and like is not None:
                check_fuses(adapter, recipe.name, like, first_layer)
