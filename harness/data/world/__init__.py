"""A synthetic multilingual world with a known truth: languages, text and labelled tasks.

Its alignment across languages is constructed; what is measured on it says nothing of human ones.
"""

from harness.data.world.languages import GROUPS, HUB, LANGUAGES, Language
from harness.data.world.tasks import TASKS, Task, generate
from harness.data.world.text import documents, parallel_sentences
from harness.data.world.world import World

__all__ = [
    "GROUPS",
    "HUB",
    "LANGUAGES",
    "TASKS",
    "Language",
    "Task",
    "World",
    "documents",
    "generate",
    "parallel_sentences",
]
