"""What harness logs, as lines for people; apart from `common`, which imports torch."""

from __future__ import annotations

import logging

from harness.cli.progress import ClickHandler


def print_log(*, quiet: bool = False) -> None:
    """Print what harness logs: warnings and, unless quiet, notices."""
    logger = logging.getLogger("harness")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.handlers = [ClickHandler()]
