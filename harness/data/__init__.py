"""Data: typed examples, readers of files and of the synthetic world, overlap with scored rows."""

from harness.data.dataset import Dataset, Reader, ReadReport, ReadRequest, left_out, make_dataset
from harness.data.draw import ALL_ROWS, BudgetError, CountTokens, Draw, draw_rows
from harness.data.examples import (
    Answer,
    BitextExample,
    ChoiceExample,
    Example,
    MiningExample,
    PairExample,
    SpanExample,
    TaggingExample,
    TextExample,
)
from harness.data.external import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_files
from harness.data.files import text_examples
from harness.data.inventory import (
    SCORED,
    Finding,
    Owner,
    Split,
    check_splits,
    hub_datasets,
    owners,
    reads_files,
    splits,
)
from harness.data.labels import load_source, with_labels
from harness.data.load import READERS, DataContext, find_files, load_split, resolve_files
from harness.data.official import load_scored
from harness.data.overlap import Overlap, count_overlap, drop_overlap, flag_overlap
from harness.data.overlap_keys import RULES
from harness.data.overlap_matrix import Compared, Matrix, Shared, overlap_matrix

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_WEIGHTS",
    "ALL_ROWS",
    "READERS",
    "RULES",
    "SCORED",
    "Answer",
    "BitextExample",
    "BudgetError",
    "ChoiceExample",
    "Compared",
    "CountTokens",
    "DataContext",
    "Dataset",
    "Draw",
    "Example",
    "Finding",
    "Matrix",
    "MiningExample",
    "Overlap",
    "Owner",
    "PairExample",
    "ReadReport",
    "ReadRequest",
    "Reader",
    "Shared",
    "SpanExample",
    "Split",
    "TaggingExample",
    "TextExample",
    "adapter_files",
    "check_splits",
    "count_overlap",
    "draw_rows",
    "drop_overlap",
    "find_files",
    "flag_overlap",
    "hub_datasets",
    "left_out",
    "load_scored",
    "load_source",
    "load_split",
    "make_dataset",
    "overlap_matrix",
    "owners",
    "reads_files",
    "resolve_files",
    "splits",
    "text_examples",
    "with_labels",
]
