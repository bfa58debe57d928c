"""Finds the positions of the parts of a json text, so that some can be cut out and all else stays."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from recbole_unlearn.production.purging.cut import LeftAlone

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Part:
    """An element of a list or a member of an object.

    Args:
        key: The member's name; None for an element.
        value: What it holds.
        begin: Where it begins, with its name.
        at: Where its value begins.
        end: Where it ends.
    """

    key: str | None
    value: Any
    begin: int
    at: int
    end: int


def skip(text: str, place: int) -> int:
    """Return the place of the next letter that is no blank."""
    match = _SPACE.match(text, place)
    return match.end() if match else place


def parts_of(text: str, place: int) -> tuple[list[Part], int]:
    """Return the parts of the list or object that begins at a place, and where it ends.

    >>> [(part.key, part.value, part.begin, part.end) for part in parts_of('{"a": 1, "b": [2]}', 0)[0]]
    [('a', 1, 1, 7), ('b', [2], 9, 17)]
    """
    closing = {"[": "]", "{": "}"}[text[place]]
    parts: list[Part] = []
    here = skip(text, place + 1)
    while text[here] != closing:
        begin, key = here, None
        if closing == "}":
            key, here = _DECODER.raw_decode(text, here)
            here = skip(text, here)
            if not isinstance(key, str) or text[here] != ":":
                raise LeftAlone("its json cannot be parsed: change it by hand")
            here = skip(text, here + 1)
        value, end = _DECODER.raw_decode(text, here)
        parts.append(Part(key, value, begin, here, end))
        here = skip(text, end)
        if text[here] == ",":
            here = skip(text, here + 1)
    return parts, here + 1


def joined(text: str, place: int, parts: list[Part], kept: list[tuple[Part, str]]) -> str:
    """Return a list or object of the parts that are kept, with the blanks that stood before each of them.

    Args:
        text: The whole.
        place: Where the list or object begins.
        parts: All of its parts.
        kept: Those that stay, each with what its value becomes.

    >>> parts = parts_of('[1,  2, 3 ]', 0)[0]
    >>> joined('[1,  2, 3 ]', 0, parts, [(part, str(part.value)) for part in parts[1:]])
    '[2, 3 ]'
    """
    if not parts:
        return text[place : text.index("]" if text[place] == "[" else "}", place) + 1]
    before = {id(part): text[last.end : part.begin] for last, part in itertools.pairwise(parts)}
    end = text.index("]" if text[place] == "[" else "}", parts[-1].end) + 1
    pieces = []
    for number, (part, value) in enumerate(kept):
        lead = text[place : parts[0].begin] if number == 0 else before[id(part)]
        pieces.append(lead + text[part.begin : part.at] + value)
    opening = "" if pieces else text[place]
    return opening + "".join(pieces) + text[parts[-1].end : end]
