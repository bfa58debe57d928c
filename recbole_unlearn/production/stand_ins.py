"""Stand-ins for the classes, functions and objects that a pickle names: names and arguments, nothing callable."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np


class Global:
    """The name of a class or function; it can be called by nobody.

    Args:
        module: As the pickle says it.
        name: Its qualified name there.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


class StandIn:
    """In the place of an object: what a pickle would have called, and all that it would have given it.

    Attributes:
        what: The class or function that was named, or another stand-in whose result was called.
        arguments: What it was called with.
        keywords: What it was called with by name.
        states: What each BUILD gave it.
        items: Keys and values that were set, in order.
        values: What was appended or added.
    """

    __slots__ = ("arguments", "items", "keywords", "states", "values", "what")

    def __init__(self, what: Global | StandIn, arguments: tuple[Any, ...] = (), keywords: Any = None) -> None:
        self.what, self.arguments, self.keywords = what, arguments, keywords or {}
        self.states: list[Any] = []
        self.items: list[tuple[Any, Any]] = []
        self.values: list[Any] = []

    @property
    def stands_for(self) -> str:
        """The full name of what it stands for."""
        return repr(self.what) if isinstance(self.what, Global) else "what a call made"

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes by name: every state that is a dict, or a dict and the slots."""
        attributes: dict[str, Any] = {}
        for state in self.states:
            for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
                if isinstance(part, dict):
                    attributes.update((name, value) for name, value in part.items() if isinstance(name, str))
        return attributes

    def __repr__(self) -> str:
        return f"<stands for {self.stands_for}>"


def walk(content: Any) -> Iterator[Any]:
    """Yield every object that can be reached from the content of a pickle, each once, those inside stand-ins too.

    >>> sorted(thing for thing in walk([1, {"a": (2, 3)}]) if isinstance(thing, int))
    [1, 2, 3]
    """
    waiting, seen = collections.deque([content]), set()
    while waiting:
        thing = waiting.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, StandIn):
            waiting.extend((thing.what, thing.arguments, thing.keywords, thing.states, thing.items, thing.values))
        elif isinstance(thing, dict):
            waiting.extend(thing)
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting.extend(thing)
        elif isinstance(thing, np.ndarray) and thing.dtype == object:
            waiting.extend(thing.ravel().tolist())
