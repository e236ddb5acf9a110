"""Records, signatures, statistics and tables: what happens to numbers once they exist."""

from harness.results.as_json import summary_json
from harness.results.contrasts import Answer, answer_contrasts
from harness.results.environment import IMAGE_VARIABLE, environment, git_state, gpu_names
from harness.results.record import (
    VOLATILE,
    averages,
    build_record,
    language_score,
    low_resource_definition,
    read_record,
    record_id,
    reproducible,
    validate_file,
    validate_record,
    write_json,
    write_record,
)
from harness.results.rows import row_label
from harness.results.schema import check_schema, load_json
from harness.results.signature import (
    evaluation_signature,
    files_signature,
    parse_signature,
    record_signature,
    signature,
)
from harness.results.statistics import (
    Margin,
    Spread,
    average_scores,
    mean_and_spread,
    paired_bootstrap_margin,
)
from harness.results.summary import Summary, summarise
from harness.results.tables import (
    contrast_table,
    per_language_table,
    summary_table,
)

__all__ = [
    "IMAGE_VARIABLE",
    "VOLATILE",
    "Answer",
    "Margin",
    "Spread",
    "Summary",
    "answer_contrasts",
    "average_scores",
    "averages",
    "build_record",
    "check_schema",
    "contrast_table",
    "environment",
    "git_state",
    "gpu_names",
    "evaluation_signature",
    "files_signature",
    "language_score",
    "load_json",
    "low_resource_definition",
    "mean_and_spread",
    "paired_bootstrap_margin",
    "parse_signature",
    "per_language_table",
    "read_record",
    "record_id",
    "record_signature",
    "reproducible",
    "row_label",
    "signature",
    "summarise",
    "summary_json",
    "summary_table",
    "validate_file",
    "validate_record",
    "write_json",
    "write_record",
]
