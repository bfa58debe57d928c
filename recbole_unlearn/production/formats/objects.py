"""Looks through rebuilt content of pickles and checkpoints: tables, data sets, models, lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recbole_unlearn.exceptions import UntrustedFileError
from recbole_unlearn.production.formats.models import Models
from recbole_unlearn.production.formats.trees import Tree
from recbole_unlearn.production.formats.views import View, is_scalar
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import Place, Trace
from recbole_unlearn.production.wanted import Wanted

_FEATURES = ("inter_feat", "user_feat", "item_feat")
_DELETE = "delete it"


def objects(place: Place, content: Any, wanted: Wanted, view: View | None = None) -> Iterator[Trace]:
    """Yield what already read content holds.

    Args:
        place: Where it is.
        content: Nested dicts, lists, arrays, and what the view can show as such.
        wanted: What is searched for.
        view: Shows things as dicts, lists and arrays.
    """
    search = _Search(place, wanted, view or View())
    failure = ""
    try:
        search.prepare(content)
        search.look(content)
    except UntrustedFileError as error:
        failure = str(error)
    yield from search.traces()
    if failure:
        yield place.not_inspected("objects", failure)


class _Search:
    def __init__(self, place: Place, wanted: Wanted, view: View) -> None:
        self.place, self.wanted, self.view = place, wanted, view
        self.rows, self.unread, self.numbers = Tally(wanted), 0, 0
        self.models = Models(place, wanted, view)
        self.tree = Tree(place, wanted, _Watching(view, self._watch))
        self.features: set[int] = set()

    def prepare(self, content: Any) -> None:
        """Look for data sets of RecBole first: beside one, numbers are places in its table of tokens."""
        waiting, seen = [content], set()
        while waiting:
            original = waiting.pop()
            if id(original) in seen or is_scalar(original) or original is None:
                continue
            seen.add(id(original))
            thing = self.view.plain(original)
            if isinstance(thing, dict):
                if "inter_feat" in thing and "field2id_token" in thing:
                    self.tree.internal = True
                    self._dataset(thing)
                waiting.extend(thing.values())
            elif isinstance(thing, list):
                waiting.extend(thing)

    def _dataset(self, attributes: dict[Any, Any]) -> None:
        """Count the rows of a data set of RecBole."""
        self.features |= {id(attributes[name]) for name in _FEATURES if attributes.get(name) is not None}
        columns = self.view.table(attributes["inter_feat"]) or self.view.plain(attributes["inter_feat"])
        tokens = self.view.plain(attributes["field2id_token"])
        try:
            names = [list(self.view.plain(tokens[attributes[field]])) for field in ("uid_field", "iid_field")]
            ids = [self.view.plain(columns[attributes[field]]) for field in ("uid_field", "iid_field")]
            for user, item in zip(*ids, strict=True):
                self.rows.add(str(names[0][int(user)]), str(names[1][int(item)]))
        except (KeyError, TypeError, IndexError, ValueError):
            self.unread += 1

    def look(self, content: Any) -> None:
        """Look through the rest."""
        self.tree.look(content)

    def _watch(self, original: Any, thing: Any) -> Any:
        """Return what the search goes on with; models and the tables of data sets are dealt with here."""
        if id(original) in self.features:
            return None
        if isinstance(thing, dict):
            return None if self.models.look(thing) and self._is_only_model(thing) else thing
        self.numbers += self._is_numbers(thing)
        return thing

    def _is_only_model(self, thing: dict[Any, Any]) -> bool:
        return all(self.view.shape(value) is not None for value in thing.values()) or "param_groups" in thing

    def _is_numbers(self, thing: Any) -> bool:
        shape = getattr(thing, "shape", None)
        return bool(shape) and not self.tree.internal and getattr(getattr(thing, "dtype", None), "kind", "") in "iuf"

    def traces(self) -> Iterator[Trace]:
        """Yield what was found."""
        traces = list(self.rows.traces(self.place, "data set or dataloaders", True, _DELETE))
        traces += self.models.traces()
        traces += self.tree.traces("objects", _DELETE)
        if self.unread:
            traces.append(self.place.not_inspected("data set or dataloaders", "its rows cannot be read"))
        if self.numbers and not traces and not self.models.clean:
            traces.append(self.place.not_inspected("objects", "numbers without names"))
        yield from traces


class _Watching(View):
    """Shows a tree what a view shows, but for what the search has dealt with."""

    def __init__(self, view: View, watch: Any) -> None:
        self._view, self._watch = view, watch

    def plain(self, thing: Any) -> Any:
        return thing if is_scalar(thing) else self._watch(thing, self._view.plain(thing))

    def table(self, thing: Any) -> dict[str, Any] | None:
        return None if is_scalar(thing) else self._view.table(thing)
