"""Data: typed examples, readers of files and of the synthetic world, overlap with scored rows."""

from harness.data.dataset import Dataset, Reader, ReadReport, ReadRequest, make_dataset
from harness.data.examples import (
    Answer,
    BitextExample,
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TaggingExample,
    TextExample,
)
from harness.data.files import text_examples
from harness.data.load import READERS, DataContext, load_split, resolve_files
from harness.data.overlap import RULES, Overlap, count_overlap, drop_overlap

__all__ = [
    "READERS",
    "RULES",
    "Answer",
    "BitextExample",
    "ChoiceExample",
    "DataContext",
    "Dataset",
    "Example",
    "Overlap",
    "PairExample",
    "ReadReport",
    "ReadRequest",
    "Reader",
    "SpanExample",
    "TaggingExample",
    "TextExample",
    "count_overlap",
    "drop_overlap",
    "load_split",
    "make_dataset",
    "resolve_files",
    "text_examples",
]
