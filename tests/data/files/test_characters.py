"""Characters joined to words: the first entity of a word, entities over several words, losses."""

from __future__ import annotations

from typing import Any

import pytest

from harness.data.files import read_tagged
from harness.errors import InputError

from .conftest import Read

LABELS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def lines(text: str, tags: str) -> str:
    """One character per line; tags are P, L (inside: p, l) or a dot."""
    names = {".": "O", "P": "B-PER", "p": "I-PER", "L": "B-LOC", "l": "I-LOC"}
    assert len(text) == len(tags)
    rows = [f"{character}\t{names[tag]}" for character, tag in zip(text, tags, strict=True)]
    return "\n".join(rows) + "\n\n"


@pytest.mark.parametrize(
    ("text", "tags", "words", "lost"),
    [
        ("ab c", "Pp .", "ab/B-PER c/O", 0),
        ("ab c", "...." , "ab/O c/O", 0),
        ("(ab) c", ".Pp...", "(ab)/B-PER c/O", 0),
        ("ab cd", "Ppppp", "ab/B-PER cd/I-PER", 0),  # one entity over two words
        ("ab cd", "Pp.pp", "ab/B-PER cd/B-PER", 0),  # a space outside ends it
        ("ab cd", "Pp.Pp", "ab/B-PER cd/B-PER", 0),
        ("ab-cd e", "Pp.Ll..", "ab-cd/B-PER e/O", 1),
        ("abcd", "PpPp", "abcd/B-PER", 1),
        ("abcd e", "PpLlll", "abcd/B-PER e/B-LOC", 0),  # the second entity has a word after all
        ("ab cd", "PpppL", "ab/B-PER cd/I-PER", 1),
        ("  a  b ", "..P..p.", "a/B-PER b/B-PER", 0),  # outside again in between
        ("ab", "pp", "ab/B-PER", 0),  # no B- before it
        ("ab c", "Pl.l", "ab/B-PER c/B-LOC", 1),
    ],
)  # fmt: skip
def test_words(read: Read, text: str, tags: str, words: str, lost: int) -> None:
    tags = tags.replace(" ", ".")
    examples, counts = read(
        read_tagged, lines(text, tags), options={"unit": "character"}, labels=LABELS
    )
    found = [f"{w}/{t}" for w, t in zip(examples[0].tokens, examples[0].tags, strict=True)]
    assert " ".join(found) == words
    assert counts["entities_within_words_lost"] == lost


def test_what_is_mapped_to_o_stands_in_no_entity_s_way(read: Read) -> None:
    options: dict[str, Any] = {"unit": "character", "comment": "## ", "label_map": {
        "B-DT": "O", "I-DT": "O", "B-PS": "B-PER"}}  # fmt: skip
    content = "## note\n3\tB-DT\n월\tI-DT\n김\tB-PS\n \tO\n##\tO\n\n \tO\n\n#\tO\n"
    examples, counts = read(read_tagged, content, options=options, labels=LABELS)
    assert [(e.tokens, e.tags) for e in examples] == [
        (("3월김", "##"), ("B-PER", "O")), (("#",), ("O",)),
    ]  # fmt: skip
    assert counts == {"tags_mapped_to_O": 2, "entities_within_words_lost": 0,
                      "sentences_without_text": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a\tO\nb\tPER\n", {}, "line 2: tag 'PER' of a character is neither O nor B-"),
        ("a\tO\n\tO\n", {}, "line 2: empty token"),
        ("a\tB-ORG\n", {}, "line 1: unknown tag 'B-ORG'"),
        ("a\n", {"gold": "withheld"}, "option 'unit' is 'character'; must be word where the gold"),
        ("a\tO\n", {"unit": "letter"}, "option 'unit' is 'letter'; must be one of word, character"),
    ],
)
def test_refusals(read: Read, content: str, options: dict[str, Any], message: str) -> None:
    options = {"unit": "character", **options}
    with pytest.raises(InputError, match=message):
        read(read_tagged, content, options=options, labels=(*LABELS, "PER"))


def test_spaces_within_words(read: Read) -> None:
    content = "New~York\tO\n~\tO\n~~\tO\n"
    examples, _ = read(read_tagged, content, options={"inner_space": "~"}, labels=LABELS)
    assert examples[0].tokens == ("New York", "~", "~~")
    examples, _ = read(read_tagged, content, labels=LABELS)
    assert examples[0].tokens == ("New~York", "~", "~~")
