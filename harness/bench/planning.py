"""From a suite to a plan: every source adapter once, every fit and prediction that a cell needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.bench.backbones import KnownBackbone, check_fit
from harness.bench.declared import PlanData
from harness.bench.plan import Cell, Plan, Selection
from harness.bench.step_maker import StepMaker
from harness.bench.steps import (
    STEP_VERSIONS,
    BackboneRef,
    JointWork,
    Settings,
    SourceRef,
    SourceWork,
)
from harness.catalog import (
    Budget,
    Catalog,
    Member,
    Recipe,
    Source,
    SourceSet,
    Suite,
    Target,
    Training,
)
from harness.data import Draw, DrawError
from harness.errors import InputError
from harness.formats import get_format
from harness.recipes import Recipe as AnyRecipe
from harness.recipes import get_recipe

_Combination = tuple[Recipe, SourceSet | None, Target, str, str]
_ORDER = tuple(STEP_VERSIONS)  # what is needed comes before what needs it


def make_plan(
    catalog: Catalog,
    suite: Suite,
    data: PlanData,
    settings: Settings,
    backbones: Sequence[KnownBackbone],
    selection: Selection,
) -> Plan:
    """The steps and cells of a suite (or the selected part); reads all data that it needs."""
    return _Planner(catalog, suite, selection, StepMaker(data, settings)).run(backbones)


def plan_source(
    source: Source,
    backbone: KnownBackbone,
    data: PlanData,
    settings: Settings,
    setting: str,
    seed: int,
) -> Plan:
    """The plan of training one source adapter."""
    check_fit(backbone, source, setting)
    maker = StepMaker(data, settings)
    known = maker.backbone(backbone)
    if source.adapter is not None:
        maker.externals.check_fit(backbone, source)
        maker.external(known, source)
        return maker.plan
    source = data.labelled(source)
    maker.source(SourceWork(known, source, source.training_for(setting), seed, source.name))
    return maker.plan


@dataclass(slots=True)
class _Planner:
    catalog: Catalog
    suite: Suite
    selection: Selection
    make: StepMaker

    def run(self, backbones: Sequence[KnownBackbone]) -> Plan:
        """The plan, its steps by kind, in an order in which they can be done."""
        combinations = list(self._combinations())
        for known in backbones:  # before any data are read
            for combination in combinations:
                self._check(known, *combination)
        for known in backbones:
            backbone = self.make.backbone(known)
            for seed in tuple(self.selection.seeds) or self.suite.seeds:
                for combination in combinations:
                    self._cell(backbone, *combination, seed)
        plan = self.make.plan
        if not plan.cells:
            raise InputError(
                f"suite '{self.suite.name}': nothing is left to run with "
                + " ".join(f"--only {k}={','.join(v)}" for k, v in self.selection.only.items())
                + "; see `xstilts plan "
                + self.suite.name
                + "` for what there is"
            )
        steps = sorted(plan.steps.values(), key=lambda step: _ORDER.index(step.kind))
        plan.steps = {step.id: step for step in steps}
        return plan

    def _combinations(self) -> Iterator[_Combination]:
        seen = set()
        for block in self.suite.blocks:
            for recipe_name in block.recipes:
                recipe = self.catalog.recipe(recipe_name)
                sets: Sequence[str | None] = (
                    [None] if recipe.sources == "none" else list(block.source_sets)
                )
                for set_name in sets:
                    source_set = self._source_set(set_name) if set_name else None
                    for target_name in block.targets:
                        target = self.catalog.target(target_name)
                        for setting in self.suite.settings:
                            cell = (recipe_name, set_name, target_name, setting)
                            if cell not in seen and self._selected(*cell):
                                seen.add(cell)
                                row = _row(recipe, source_set, block.row)
                                yield recipe, source_set, target, setting, row

    def _source_set(self, name: str) -> SourceSet:
        """The set, with the suite's budget if it has none of its own."""
        found = self.catalog.source_set(name)
        return replace(found, budget=found.budget or self.suite.budget)

    def _selected(self, recipe: str, set_name: str | None, target: str, setting: str) -> bool:
        values = {"recipe": recipe, "set": set_name, "target": target, "setting": setting}
        return all(values[k] in allowed for k, allowed in self.selection.only.items())

    def _check(
        self,
        known: KnownBackbone,
        recipe: Recipe,
        source_set: SourceSet | None,
        target: Target,
        setting: str,
        row: str,
    ) -> None:
        implementation, task_format = get_recipe(recipe.kind), get_format(target.format)
        if implementation.defined(task_format):
            trained = implementation.fit(task_format) is not None
            check_fit(known, target, setting, trained=trained)
            sources = self.catalog.sources_of(source_set.name) if source_set else ()
            for source in sources:
                check_fit(known, source, setting)
                self.make.externals.check_fit(known, source)
            if source_set is not None:
                first = known.spec.first_adapter_layer
                self.make.externals.check_recipe(recipe, source_set, sources, target, first)

    def _cell(
        self,
        backbone: BackboneRef,
        recipe: Recipe,
        source_set: SourceSet | None,
        target: Target,
        setting: str,
        row: str,
        seed: int,
    ) -> None:
        implementation = get_recipe(recipe.kind)
        task_format = get_format(target.format)
        if not implementation.defined(task_format):
            return
        sources, joint = self._sources(backbone, implementation, source_set, setting, seed)
        mode = implementation.fit(task_format)
        training = target.settings.get(setting)
        fit = None
        if mode is not None:
            if training is None:
                raise InputError(
                    f"target '{target.name}': no setting '{setting}'; it has "
                    f"{', '.join(target.settings) or 'none'}"
                )
            fit = self.make.fit(
                backbone, recipe, source_set, sources, target, training, mode, seed
            ).key
        predict = self.make.predict(backbone, recipe, source_set, sources, target, fit, seed)
        self.make.plan.cells.append(
            Cell(
                backbone,
                recipe,
                source_set,
                target,
                setting,
                training if mode else None,
                seed,
                sources,
                fit,
                predict.key,
                row,
                joint,
                mixes=joint is not None or mode == "mixture",
            )
        )

    def _sources(
        self,
        backbone: BackboneRef,
        implementation: AnyRecipe,
        source_set: SourceSet | None,
        setting: str,
        seed: int,
    ) -> tuple[tuple[SourceRef, ...], Training | None]:
        """The sources of a set, and how they are trained together if the recipe wants it so."""
        if source_set is None:
            return (), None
        try:
            return self._trained(backbone, implementation, source_set, setting, seed)
        except DrawError as error:
            name = f"source set '{source_set.name}' (budget {source_set.budget})"
            raise InputError(f"{name}: {error}") from error

    def _trained(
        self,
        backbone: BackboneRef,
        implementation: AnyRecipe,
        source_set: SourceSet,
        setting: str,
        seed: int,
    ) -> tuple[tuple[SourceRef, ...], Training | None]:
        parts = []
        refs = []
        for member, draw in draws(source_set):
            source = self.catalog.source(member.source)
            if source.adapter is not None:
                refs.append(self.make.external(backbone, source))
                continue
            source, training = self.make.data.labelled(source), source.training_for(setting)
            parts.append(SourceWork(backbone, source, training, seed, member.name, draw))
            if not implementation.joint:
                refs.append(self.make.source(parts[-1]))
        if not implementation.joint:
            return tuple(refs), None
        training = source_set.settings.get(setting, parts[0].training)
        name = f"mixture-{source_set.name}"
        work = JointWork(backbone, tuple(parts), training, source_set.mixture, seed, name)
        return self.make.joint(work), training


def draws(source_set: SourceSet) -> Iterator[tuple[Member, Draw]]:
    """Each source of a set, with what the set takes of its training rows."""
    members, budget = source_set.sources, source_set.budget
    parts = (budget or Budget()).parts(len(members))
    for member, part in zip(members, parts, strict=True):
        yield member, Draw(member.part, part.examples, part.tokens, source_set.parallel)


def _row(recipe: Recipe, source_set: SourceSet | None, name: str) -> str:
    if source_set is None:
        return recipe.name
    return f"{recipe.name} [{name or source_set.name}]"
