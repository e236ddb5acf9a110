"""Bitext from two files whose lines are aligned: line i of one translates line i of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import BitextExample
from harness.data.files.options import Options
from harness.data.files.rows import place, read_lines
from harness.errors import InputError

_OPTIONS: Mapping[str, Any] = {"group_namespace": "row"}


def read_parallel(request: ReadRequest) -> Iterator[BitextExample]:
    """Bitext examples: the first file in the language, the second in English, line by line."""
    options = Options("parallel", request.options, _OPTIONS)
    namespace = options.text("group_namespace")
    if len(request.files) != 2:
        got = ", ".join(map(str, request.files)) or "none"
        raise InputError(f"reader 'parallel' takes 2 files (language, then English), got: {got}")
    foreign, english = request.files
    name = request.file_name(foreign)
    for row, (one, two) in enumerate(zip_longest(read_lines(foreign), read_lines(english))):
        if one is None or two is None:
            longer = foreign if two is None else english
            raise InputError(
                f"{foreign} and {english}: not aligned, since {longer} has more than {row} lines; "
                "both must have the same number of lines"
            )
        for file, line in ((foreign, one), (english, two)):
            problem = line.problem or ("empty sentence" if not line.text.strip() else None)
            if problem:
                request.report.bad(place(file, line.number), problem)
                break
        else:
            yield BitextExample(
                id=f"{name}:{row}",
                language=request.language,
                group=f"{namespace}:{row}",
                sentence=one.text,
                english=two.text,
            )
