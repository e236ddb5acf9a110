"""Whether a suite can run: its names exist, its recipes fit its source sets and targets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog.derived_sets import DERIVED
from harness.catalog.problems import Problem, names, problem, unknown, unknown_language
from harness.catalog.set_check import check_budget
from harness.catalog.sets import Block, Contrast, Suite

if TYPE_CHECKING:
    from harness.catalog.load import Catalog

Cell = tuple[str, ...]  # (target, recipe) or (target, recipe, source set)


def check_suite(catalog: Catalog, suite: Suite, file: Path) -> Iterator[Problem]:
    """Every problem of one suite."""
    found = list(_names(catalog, suite, file))
    if not found:  # the rest looks the names up
        for place, block in enumerate(suite.blocks):
            found += _block(catalog, block, file, f"blocks[{place}]")
        found += _targets(catalog, suite, file)
        found += _rows(catalog, suite, file)
        found += _contrasts(catalog, suite, file)
        found += check_budget(suite.budget, file, _most_sources(catalog, suite))
    yield from found


def _names(catalog: Catalog, suite: Suite, file: Path) -> Iterator[Problem]:
    for place, name in enumerate(suite.backbones):
        yield from unknown(file, f"backbones[{place}]", name, catalog.backbones)
    for number, block in enumerate(suite.blocks):
        for kind, listed, known in (
            ("recipes", block.recipes, catalog.recipes),
            ("targets", block.targets, catalog.targets),
            ("source_sets", block.source_sets, catalog.source_sets),
        ):
            for place, name in enumerate(listed):
                more = f"; or {DERIVED}" if kind == "source_sets" else ""
                yield from unknown(file, f"blocks[{number}].{kind}[{place}]", name, known, more)
    for place, code in enumerate(suite.low_resource_languages):
        yield from unknown_language(
            file, f"low_resource_languages[{place}]", code, catalog.languages
        )
    for place, contrast in enumerate(suite.contrasts):
        yield from unknown(file, f"contrasts[{place}].target", contrast.target, catalog.targets)


def _block(catalog: Catalog, block: Block, file: Path, key: str) -> Iterator[Problem]:
    for name in block.recipes:
        recipe = catalog.recipes[name]
        if recipe.sources == "none" and block.source_sets:
            allowed = f"no source sets with recipe '{name}', which takes no sources"
            todo = "give it a block of its own"
            yield problem(file, f"{key}.source_sets", names(block.source_sets), allowed, todo)
        if recipe.sources != "none" and not block.source_sets:
            allowed = f"source sets for recipe '{name}'"
            yield problem(file, f"{key}.source_sets", "nothing", allowed, "add them")
        if recipe.sources == "one":
            yield from _single(catalog, block, file, key, name)
        for target in block.targets:
            if recipe.kind == "full-ft" and catalog.targets[target].train is None:
                allowed = f"targets that are trained, with recipe '{name}'"
                yield problem(file, f"{key}.targets", f"'{target}'", allowed, "move it elsewhere")
    for target in block.targets:
        world = catalog.targets[target].world
        for name in block.source_sets:
            if any(source.world != world for source in catalog.sources_of(name)):
                kind = "the world" if world else "human languages"
                allowed = f"source sets of {kind}, as target '{target}'"
                yield problem(file, f"{key}.source_sets", f"'{name}'", allowed, "split the block")


def _most_sources(catalog: Catalog, suite: Suite) -> int:
    """The sources of the largest set that the suite's budget is for."""
    sets = {name for block in suite.blocks for name in block.source_sets}
    found = [catalog.source_sets[name] for name in sets]
    return max((len(one.sources) for one in found if one.budget is None), default=1)


def _single(catalog: Catalog, block: Block, file: Path, key: str, recipe: str) -> Iterator[Problem]:
    for name in block.source_sets:
        count = len(catalog.source_sets[name].sources)
        if count != 1:
            got = f"'{name}' with {count} sources"
            allowed = f"source sets with exactly one source, for recipe '{recipe}'"
            yield problem(file, f"{key}.source_sets", got, allowed, "choose sets with one source")


def _targets(catalog: Catalog, suite: Suite, file: Path) -> Iterator[Problem]:
    used = dict.fromkeys(name for block in suite.blocks for name in block.targets)
    for name in used:
        target = catalog.targets[name]
        for place, setting in enumerate(suite.settings):
            if setting not in target.settings:
                got = f"'{setting}', which target '{name}' does not have"
                allowed = f"settings of '{name}': {names(target.settings)}"
                yield problem(file, f"settings[{place}]", got, allowed, "add it to the target")
        for place, backbone in enumerate(suite.backbones):
            if catalog.backbones[backbone].world and not target.world:
                allowed = f"a backbone that reads human languages, for target '{name}'"
                todo = "choose another backbone"
                yield problem(file, f"backbones[{place}]", f"'{backbone}'", allowed, todo)
    scored = {code for name in used for code in catalog.targets[name].languages}
    for place, code in enumerate(suite.low_resource_languages):
        if code not in scored:
            allowed = f"languages that some target scores: {names(sorted(scored), 60)}"
            key = f"low_resource_languages[{place}]"
            yield problem(file, key, f"'{code}'", allowed, "remove it")


def _rows(catalog: Catalog, suite: Suite, file: Path) -> Iterator[Problem]:
    """Two source sets of one recipe may share a row of the summary, but not on one target."""
    cells: set[Cell] = set()
    taken: dict[Cell, str] = {}  # (target, recipe, row) -> its source set
    for number, block in enumerate(suite.blocks):
        with_sources = [r for r in block.recipes if catalog.recipes[r].sources != "none"]
        for cell in itertools.product(block.targets, with_sources, block.source_sets):
            if cell in cells:  # it runs once, in the row of the first block
                continue
            cells.add(cell)
            target, recipe, name = cell
            row = block.row or name
            other = taken.setdefault((target, recipe, row), name)
            if other != name:
                got = f"'{row}' for {recipe} with '{name}' on '{target}'"
                allowed = f"a row of its own ('{other}' has this one on that target)"
                todo = "move one of them to a block with another row"
                yield problem(file, f"blocks[{number}].row", got, allowed, todo)


def _contrasts(catalog: Catalog, suite: Suite, file: Path) -> Iterator[Problem]:
    cells = set(_cells(catalog, suite))
    seen: set[str] = set()
    for place, contrast in enumerate(suite.contrasts):
        key = f"contrasts[{place}]"
        if contrast.name in seen:
            todo = "rename one of them"
            yield problem(file, f"{key}.name", f"'{contrast.name}'", "a name that is new", todo)
        seen.add(contrast.name)
        yield from _contrast(catalog, contrast, file, key, cells)


def _contrast(
    catalog: Catalog, contrast: Contrast, file: Path, key: str, cells: set[Cell]
) -> Iterator[Problem]:
    languages = catalog.targets[contrast.target].languages
    for field in ("languages", "worse_languages"):
        for code in getattr(contrast, field):
            if code not in languages:
                allowed = f"languages of '{contrast.target}': {names(languages, 60)}"
                yield problem(file, f"{key}.{field}", f"'{code}'", allowed, "remove it")
    if contrast.worse_languages and not contrast.languages:
        todo = "name the languages of `better` too"
        yield problem(file, f"{key}.languages", "nothing", "a list of languages", todo)
    sides = [(side, getattr(contrast, side)) for side in ("better", "worse")]
    for side, cell in sides:
        if (contrast.target, *cell) not in cells:
            here = sorted("/".join(c[1:]) for c in cells if c[0] == contrast.target)
            allowed = f"what the blocks run on '{contrast.target}': {names(here)}"
            todo = "correct it, or add a block"
            yield problem(file, f"{key}.{side}", f"'{'/'.join(cell)}'", allowed, todo)
    if contrast.better == contrast.worse and not contrast.worse_languages:
        got = f"'{'/'.join(contrast.worse)}'"
        yield problem(file, f"{key}.worse", got, "another one than `better`", "correct one of them")


def _cells(catalog: Catalog, suite: Suite) -> Iterator[Cell]:
    for block in suite.blocks:
        for target in block.targets:
            for recipe in block.recipes:
                if catalog.recipes[recipe].sources == "none":
                    yield target, recipe
                else:
                    yield from ((target, recipe, name) for name in block.source_sets)
