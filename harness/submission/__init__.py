"""XTREME's submission layout: its label and prediction files read, scored and written."""

from harness.submission.layout import Layout, Row
from harness.submission.scores import (
    FilePair,
    LanguageScore,
    SubmissionScore,
    TaskScore,
    folder_pairs,
    layout_of,
    score_submission,
    score_task,
    xtreme_task,
    xtreme_tasks,
)

__all__ = [
    "FilePair",
    "LanguageScore",
    "Layout",
    "Row",
    "SubmissionScore",
    "TaskScore",
    "folder_pairs",
    "layout_of",
    "score_submission",
    "score_task",
    "xtreme_task",
    "xtreme_tasks",
]
