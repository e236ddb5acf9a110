"""Groups: what rows share; compared across data sets within a namespace that both were given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from harness.data.files.options import Options
from harness.data.files.records import Record
from harness.data.files.rows import RowProblem, scalar_of

# Namespaces within one file: row 12 of a file has nothing to do with row 12 of another.
LOCAL_NAMESPACES = ("row", "article", "context")


@dataclass(frozen=True, slots=True)
class Grouping:
    """How a row's group is named: `row` (its number) or a field, within a namespace.

    Groups of two data sets are compared within a namespace, so parallel sets share one. Without a
    namespace a row number stays `row:<n>`, which is never compared. `base` is the number that the
    field has in row 0 of the parallel set, where it counts rows from elsewhere.
    """

    field: str | None
    namespace: str
    base: int = 0

    @classmethod
    def of(cls, options: Options) -> Grouping:
        """From the options `group`, `group_namespace` and `group_base`."""
        field, base = options.optional_text("group"), options.number("group_base")
        if base and field in (None, "row"):
            raise options.bad("group_base", "left out unless `group` names a field")
        return cls(field, options.optional_text("group_namespace") or field or "row", base)

    def name(self, record: Record, row: int) -> str | None:
        """The group of a record, `<namespace>:<row or field>`; raises RowProblem."""
        if self.field is None:
            return None
        value = str(row) if self.field == "row" else scalar_of(record.field(self.field), self.field)
        if self.base:
            value = self._from_base(value)
        return f"{self.namespace}:{value}"

    def _from_base(self, value: str) -> str:
        if not (value.isascii() and value.isdecimal()) or int(value) < self.base:
            raise RowProblem(f"{self.field} is '{value}', no row number from {self.base} on")
        return str(int(value) - self.base)


def context_group(context: str) -> str:
    """The group of all that stands on one context."""
    return f"context:{hashlib.sha256(context.encode()).hexdigest()[:16]}"


def is_local(group: str | None) -> bool:
    """Whether a group means something within its own file only."""
    return group is None or group.partition(":")[0] in LOCAL_NAMESPACES
