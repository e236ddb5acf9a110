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
from harness.data.inventory import (
    Finding,
    Owner,
    Split,
    check_splits,
    hub_datasets,
    owners,
    reads_files,
    splits,
)
from harness.data.load import READERS, DataContext, find_files, load_split, resolve_files
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
    "Finding",
    "Overlap",
    "Owner",
    "PairExample",
    "ReadReport",
    "ReadRequest",
    "Reader",
    "SpanExample",
    "Split",
    "TaggingExample",
    "TextExample",
    "check_splits",
    "count_overlap",
    "drop_overlap",
    "find_files",
    "hub_datasets",
    "load_split",
    "make_dataset",
    "owners",
    "reads_files",
    "resolve_files",
    "splits",
    "text_examples",
]
