"""A split of a data set on the hub, through the library `datasets`: pinned, no loading scripts.

A revision is always named and passed on: what a data set holds under a name may change. Columns and
label names must be exactly those that the catalog expects, since a swapped label order scores
without complaint. No data set's own code is ever run.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.data.files.options import Options
from harness.errors import InputError, WorkError

WHERE: Mapping[str, Any] = {
    "id": None,
    "revision": None,
    "config": None,
    "folder": None,
    "split": None,
    "layout": None,
    "columns": {},
    "names": {},
    "label_names": (),
}
_PINNED = re.compile(r"[0-9a-f]{40}|refs/convert/parquet")
_NAME = "{name}"
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """One split of one configuration of a data set, at one revision."""

    id: str
    revision: str
    config: str | None  # named configuration, or
    folder: str | None  # folder of Parquet files, where the revision describes no configurations
    split: str

    def __str__(self) -> str:
        part = self.config or self.folder
        return f"{self.id}@{self.revision[:12]}{f' {part}' if part else ''} {self.split}"

    @property
    def row_prefix(self) -> str:
        """What ids made from row numbers start with; no part of it is a path of this machine."""
        return "/".join(part for part in (self.id, self.config or self.folder, self.split) if part)


def place_of(options: Options, name: str | None) -> Place:
    """The place that a reader's options name; InputError where no revision is pinned."""
    revision = options.optional_text("revision")
    if revision is None or not _PINNED.fullmatch(revision):
        allowed = "a commit of 40 hexadecimal digits (or refs/convert/parquet)"
        raise options.bad("revision", f"{allowed}: rows under a moving name may change")
    config, folder = options.optional_text("config"), options.optional_text("folder")
    if config and folder:
        raise options.bad("folder", "left out where config is given")
    return Place(
        options.text("id"),
        revision,
        named(config, name, options, "config"),
        named(folder, name, options, "folder"),
        options.text("split"),
    )


def named(text: str | None, name: str | None, options: Options, option: str) -> str | None:
    """A template with `{name}` filled in: how the data set calls the language."""
    if text is None or _NAME not in text:
        return text
    if name is None:
        raise options.bad(option, "text without {name}, or `names` must have the language")
    return text.replace(_NAME, name)


def rows(
    place: Place, columns: Sequence[str], labels: Mapping[str, Sequence[str]]
) -> Iterator[Mapping[str, Any]]:
    """The rows with these columns alone, after a check of columns and label names."""
    table = _table(place)
    for column in columns:
        if column not in table.column_names:
            has = ", ".join(table.column_names)
            raise InputError(f"{place}: no column '{column}'; the data set has: {has}")
    for column, names in labels.items():
        feature = table.features[column]
        declared = getattr(getattr(feature, "feature", feature), "names", None)
        if declared is not None and list(declared) != list(names):
            got, expected = ", ".join(declared), ", ".join(names)
            raise InputError(
                f"{place}: column '{column}' has the labels {got}; expected in this order: "
                f"{expected}; correct label_names or the revision"
            )
    for batch in table.select_columns(list(columns)).iter(batch_size=_BATCH):
        for row in zip(*(batch[column] for column in columns), strict=True):
            yield dict(zip(columns, row, strict=True))


def _table(place: Place) -> Any:
    import datasets  # noqa: PLC0415  (a second, and most runs read no hub)
    import httpx  # noqa: PLC0415  (with datasets, whose client it is; its errors are no OSError)

    datasets.disable_progress_bars()
    logging.getLogger("datasets").setLevel(logging.ERROR)
    failures = (OSError, MemoryError, httpx.HTTPError)  # no space, no connection
    try:
        return datasets.load_dataset(
            place.id,
            name=place.config,
            data_dir=place.folder,
            split=place.split,
            revision=place.revision,
        )
    except datasets.exceptions.DatasetGenerationError as error:  # whatever went wrong, wrapped
        cause = error.__cause__ or error
        raise (_failed if isinstance(cause, failures) else _unlike)(place, cause) from error
    except (datasets.exceptions.DatasetsError, ValueError) as error:
        raise _unlike(place, error) from error
    except RuntimeError as error:  # a loading script: code that would have to be run
        raise InputError(
            f"{place}: cannot be read without running its code ({_line(error)}); name a revision "
            "with Parquet files, or read files with --data DIR"
        ) from error
    except failures as error:
        raise _failed(place, error) from error


def _unlike(place: Place, error: BaseException) -> InputError:
    return InputError(f"{place}: not on the hub as the catalog says ({_line(error)})")


def _failed(place: Place, error: BaseException) -> WorkError:
    return WorkError(
        f"{place}: cannot be loaded from the hub ({_line(error)}); check the network (a run "
        "without one needs it in the cache) and the disk of the cache, see HF_HOME, or read files "
        "with --data DIR"
    )


def _line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
