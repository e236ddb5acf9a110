"""The catalog: `adapters_cfg/` as frozen dataclasses; errors name file, key, value."""

from harness.catalog.build import build, split_spec
from harness.catalog.check import check_document
from harness.catalog.load import Catalog, backbone_from_argument, default_directory
from harness.catalog.problems import Problem
from harness.catalog.sets import (
    PROPORTIONAL,
    Block,
    Budget,
    Contrast,
    Member,
    Mixture,
    Recipe,
    SourceSet,
    Suite,
)
from harness.catalog.specs import (
    Backbone,
    Language,
    Part,
    Pretraining,
    PretrainText,
    Shape,
    Source,
    SplitSpec,
    Target,
    Training,
)
from harness.catalog.yaml_file import read_yaml

__all__ = [
    "PROPORTIONAL",
    "Backbone",
    "Block",
    "Budget",
    "Catalog",
    "Contrast",
    "Language",
    "Member",
    "Mixture",
    "Part",
    "PretrainText",
    "Pretraining",
    "Problem",
    "Recipe",
    "Shape",
    "Source",
    "SourceSet",
    "SplitSpec",
    "Suite",
    "Target",
    "Training",
    "backbone_from_argument",
    "build",
    "check_document",
    "default_directory",
    "read_yaml",
    "split_spec",
]
