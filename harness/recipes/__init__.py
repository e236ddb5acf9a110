"""Recipes: one module per family; `get_recipe` finds one by its kind."""

from harness.errors import InputError
from harness.recipes.base import Goal, Recipe, TrainedSource, add_target
from harness.recipes.direct import Direct
from harness.recipes.full_ft import FullFineTuning
from harness.recipes.fuse import FuseMany
from harness.recipes.multitask import Multitask, assemble_joint
from harness.recipes.stack import StackOne

RECIPES: dict[str, Recipe] = {
    recipe.kind: recipe
    for recipe in (Direct(), StackOne(), FuseMany(), Multitask(), FullFineTuning())
}


def get_recipe(kind: str) -> Recipe:
    """The recipe of this kind; InputError names the known ones."""
    if kind not in RECIPES:
        raise InputError(f"recipe kind '{kind}' is unknown; allowed: {', '.join(sorted(RECIPES))}")
    return RECIPES[kind]


__all__ = [
    "RECIPES",
    "Goal",
    "Recipe",
    "TrainedSource",
    "add_target",
    "assemble_joint",
    "get_recipe",
]
