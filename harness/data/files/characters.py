"""Tagged characters as tagged words: text that is annotated finer than its words (KLUE)."""

from __future__ import annotations

from collections.abc import Sequence

_OUTSIDE = "O"
_Word = tuple[str, list[tuple[str, int]]]  # its text; type and number of the entity per character


def join_characters(
    characters: Sequence[str], tags: Sequence[str]
) -> tuple[list[str], list[str], int]:
    """Words, their IOB2 tags, and how many entities no word stands for; words end at spaces.

    A word has the tag of its first entity. It is B- where that entity has no word yet, else I-.
    """
    entities = _entities(tags)
    words, word_tags, named = [], [], set()
    for text, inside in _words(characters, entities):
        kind, entity = next((one for one in inside if one[0]), ("", 0))
        words.append(text)
        word_tags.append(f"{'I' if entity in named else 'B'}-{kind}" if kind else _OUTSIDE)
        if kind:
            named.add(entity)
    return words, word_tags, len({number for kind, number in entities if kind} - named)


def _entities(tags: Sequence[str]) -> list[tuple[str, int]]:
    """Type and number of the entity of each character; the type is empty outside of one."""
    found: list[tuple[str, int]] = []
    previous, number = "", 0
    for tag in tags:
        prefix, _, kind = tag.partition("-")
        if kind and (prefix == "B" or kind != previous):
            number += 1
        found.append((kind, number))
        previous = kind
    return found


def _words(characters: Sequence[str], entities: Sequence[tuple[str, int]]) -> list[_Word]:
    words: list[_Word] = []
    inside = False
    for character, entity in zip(characters, entities, strict=True):
        if character == " ":
            inside = False
            continue
        if not inside:
            words.append(("", []))
            inside = True
        text, marks = words[-1]
        words[-1] = (text + character, [*marks, entity])
    return words
