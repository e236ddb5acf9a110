"""XTREME's submission layout: its label and prediction files read, scored and written."""

from harness.submission.choose import FIELDS, Choice, Chosen, choose_records
from harness.submission.export import (
    Submission,
    check_apart,
    check_free,
    make_submission,
    write_folders,
)
from harness.submission.layout import Layout, Row
from harness.submission.scores import (
    FilePair,
    LanguageScore,
    SubmissionScore,
    TaskScore,
    check_language,
    folder_pairs,
    layout_of,
    score_submission,
    score_task,
    xtreme_task,
    xtreme_tasks,
)

__all__ = [
    "FIELDS",
    "Choice",
    "Chosen",
    "FilePair",
    "LanguageScore",
    "Layout",
    "Row",
    "Submission",
    "SubmissionScore",
    "TaskScore",
    "check_apart",
    "check_free",
    "check_language",
    "choose_records",
    "folder_pairs",
    "layout_of",
    "make_submission",
    "score_submission",
    "score_task",
    "write_folders",
    "xtreme_task",
    "xtreme_tasks",
]
