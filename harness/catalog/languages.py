"""Languages in file names: templates with `{language}` and `{iso3}`."""

from __future__ import annotations

import re

_FIELD = re.compile(r"\{([^{}]*)\}")
TEMPLATE_FIELDS = ("language", "iso3")


def template_fields(template: str) -> tuple[str, ...]:
    """The names in braces of a file template, in order."""
    return tuple(_FIELD.findall(template))
