"""A reader's options from YAML: typed access, and an error for a name that it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import InputError

WITHHELD = "withheld"


class Options:
    """Options of one reader; `allowed` holds every name that it takes, with its default."""

    def __init__(self, reader: str, given: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
        self._reader = reader
        for name in given:
            if name not in allowed:
                names = ", ".join(sorted(allowed))
                raise InputError(f"reader '{reader}': unknown option '{name}'; allowed: {names}")
        self._values = {**allowed, **given}

    def bad(self, name: str, allowed: str) -> InputError:
        """The error for an option's value."""
        shown = f"option '{name}' is {self._values[name]!r}"
        return InputError(f"reader '{self._reader}': {shown}; must be {allowed}")

    def value(self, name: str) -> Any:
        """The raw value."""
        return self._values[name]

    def text(self, name: str) -> str:
        """A string."""
        value = self._values[name]
        if not isinstance(value, str):
            raise self.bad(name, "a string")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string or None."""
        return None if self._values[name] is None else self.text(name)

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """One of the given strings."""
        value = self._values[name]
        if value not in allowed:
            raise self.bad(name, f"one of {', '.join(allowed)}")
        return str(value)

    def flag(self, name: str) -> bool:
        """true or false."""
        value = self._values[name]
        if not isinstance(value, bool):
            raise self.bad(name, "true or false")
        return value

    def number(self, name: str, least: int = 0) -> int:
        """An integer of at least `least`."""
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.bad(name, f"an integer of at least {least}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings (one string counts as a list of one)."""
        value = self._values[name]
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self.bad(name, "a list of strings")
        return tuple(value)

    def table(self, name: str) -> dict[str, Any]:
        """A mapping; keys become strings, since YAML reads 0 and 1 as numbers."""
        value = self._values[name]
        if not isinstance(value, Mapping):
            raise self.bad(name, "a mapping")
        return {str(key): entry for key, entry in value.items()}

    def strings(self, name: str) -> dict[str, str]:
        """A mapping of strings to strings, with numbers taken as their text."""
        table = self.table(name)
        if not all(isinstance(entry, str | int | float) for entry in table.values()):
            raise self.bad(name, "a mapping of strings to strings")
        return {key: str(entry) for key, entry in table.items()}

    def withheld(self) -> bool:
        """Whether the files come without gold (`gold: withheld`)."""
        return self.choice("gold", ("given", WITHHELD)) == WITHHELD
