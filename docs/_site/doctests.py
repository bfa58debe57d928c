"""Examples in docstrings as code blocks: mkdocstrings takes only those of a section `Examples:` for code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1.*\S.*)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences every run of lines from `>>>` to the next empty one."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Change the docstring of one module, class or function."""
        if obj.docstring and not obj.is_alias:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return a docstring with its examples between fences."""
    return _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
