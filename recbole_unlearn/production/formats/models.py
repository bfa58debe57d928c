"""Recognises models: tables with one embedding for each user, optimizer moments, cached embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from recbole_unlearn.production.formats.views import View, is_scalar
from recbole_unlearn.production.trace import Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

_ABOUT_USERS = re.compile(r"user|uid|member|customer", re.IGNORECASE)
_PARAMETER = re.compile(r"(weight|bias|embedding|kernel|running_mean|\.\d+|_emb|factors?)$", re.IGNORECASE)
_CACHES = re.compile(r"restore_\w*(user|item|_[ui]\b|_e\b|emb)\w*", re.IGNORECASE)
_COMPUTED = re.compile(r"restore_|graph|adj|interaction|history", re.IGNORECASE)
UNPROVEN = "a model without a proof that it is clean: unlearn it or delete it"


class Models:
    """Looks for what a model knows of users; ``look`` may be called for every dict of a file.

    Args:
        place: Where it is.
        wanted: Knows how many users the data set has, and the digests of the models that the ledger vouches for.
        view: Tells shapes and digests.
    """

    def __init__(self, place: Place, wanted: Wanted, view: View) -> None:
        self.place, self.wanted, self.view = place, wanted, view
        self.tables = self.other = self.clean = self.ours = self.others = self.caches = 0
        self.moments: list[tuple[int, ...]] = []
        self.sizes: set[int] = set()
        self.trained_later, self.later = 0, set[str]()
        spec = wanted.spec
        sizes = [(spec.n_users, spec.n_items), *spec.older_sizes]
        self.known_sizes = {size for users, items in sizes if users for size in (users, users + (items or 0))}

    def look(self, thing: dict[Any, Any]) -> bool:
        """Look at a dict; return whether it is a state of a model or an optimizer, inside of which nobody else looks."""
        self._look_at_config(thing.get("config"))
        self._look_at_lineage(thing.get("lineage"))
        for key, value in thing.items():
            self.caches += isinstance(key, str) and bool(_CACHES.fullmatch(key)) and not _is_empty(value)
            if key == "other_parameter":
                inside = self.view.plain(value)
                names = inside if isinstance(inside, dict) else {}
                self.caches += sum(
                    bool(_COMPUTED.search(str(name))) and not _CACHES.fullmatch(str(name)) for name in names
                )
        if "param_groups" in thing and "state" in thing:
            self._look_at_optimizer(thing["state"])
            return True
        if not self._is_state(thing):
            return False
        self._look_at_state(thing)
        return True

    def _is_state(self, thing: dict[Any, Any]) -> bool:
        shapes = {key: self.view.shape(value) for key, value in thing.items() if isinstance(key, str)}
        arrays = {key: shape for key, shape in shapes.items() if shape is not None}
        if not arrays or 2 * len(arrays) < len(thing):
            return False
        return any(
            self.view.is_float(thing[key]) and (len(shape) > 1 or bool(_PARAMETER.search(key)))
            for key, shape in arrays.items()
        )

    def _look_at_state(self, thing: dict[Any, Any]) -> None:
        held = 0
        for key, value in thing.items():
            shape = self.view.shape(value)
            if shape is not None and self.view.is_float(value) and self.holds_users(str(key), shape):
                held += 1
                self.sizes.add(shape[0])
        digests = self.view.digests(thing) if self.wanted.digests or self.wanted.spec.anchors else ()
        if self.wanted.vouches(digests):
            self.clean += 1
        elif not self.later.isdisjoint(digests):
            self.trained_later += 1
        elif held:
            self.tables += held
        else:
            self.other += 1

    def holds_users(self, name: str, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this name and shape has a row per user of the data set."""
        about = bool(_ABOUT_USERS.search(name))
        if not self.known_sizes:
            return about and len(shape) == 2
        return bool(shape) and shape[0] in self.known_sizes and (len(shape) > 1 or about)

    def _look_at_optimizer(self, state: Any) -> None:
        inside = self.view.plain(state)
        values = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else ()
        for value in values:
            parts = self.view.plain(value)
            for moment in parts.values() if isinstance(parts, dict) else ():
                shape = self.view.shape(moment)
                if shape:
                    self.moments.append(shape)

    def _look_at_config(self, config: Any) -> None:
        content = self.view.plain(config)
        if isinstance(content, dict):
            settings = self.view.plain(content.get("final_config_dict", content))
            name = settings.get("dataset") if isinstance(settings, dict) else None
            known = self.wanted.spec.dataset
            self.ours += isinstance(name, str) and name == known
            self.others += isinstance(name, str) and known is not None and name != known

    def _look_at_lineage(self, lineage: Any) -> None:
        """Remember the digest of weights that say of themselves that they were trained when all had left."""
        record = self.view.plain(lineage)
        anchor = self.view.plain(record.get("ledger")) if isinstance(record, dict) else None
        if isinstance(anchor, dict) and self.wanted.is_later(anchor.get("count"), anchor.get("head")):
            self.later.add(str(record.get("weights")))

    def traces(self) -> Iterator[Trace]:
        """Yield what was found."""
        if self.trained_later:
            yield self.place.check(
                "model",
                "trained after the withdrawals by its own record",
                "whether it was, the ledger does not know it",
            )
        if self.others and not self.ours:
            yield from self._of_another_data_set()
            return
        if self.tables:
            what = counted(self.tables, "table") + " with a row per user"
            yield self.place.must_fix("model", what, UNPROVEN)
        elif self.other and self.ours:
            yield self.place.must_fix("model", "trained on this data set", UNPROVEN)
        elif self.other:
            yield self.place.check(
                "model", "no table with a row per user", "whether it was trained with withdrawn rows"
            )
        yield from self._moments()
        if self.caches:
            what = counted(self.caches, "part") + " computed from every training row"
            yield self.place.must_fix("cached embeddings", what, "save it without them, or delete it")

    def _of_another_data_set(self) -> Iterator[Trace]:
        """Yield what speaks against the config, which names another data set: tables of the size of ours."""
        if self.known_sizes and (self.tables or self._moments_of_users()):
            yield self.place.check(
                "model",
                "a table with as many rows as our users, by its config of another data set",
                "whose users they are",
            )

    def _moments_of_users(self) -> list[tuple[int, ...]]:
        return [shape for shape in self.moments if shape[0] in self.sizes or self.holds_users("", shape)]

    def _moments(self) -> Iterator[Trace]:
        per_user = self._moments_of_users()
        if per_user:
            what = counted(len(per_user), "moment") + " with a row per user"
            yield self.place.must_fix("optimizer moments", what, "save it without the optimizer, or delete it")
        elif self.moments and self.ours:
            yield self.place.must_fix(
                "optimizer moments", "of a training on this data set", "save it without the optimizer, or delete it"
            )
        elif self.moments:
            yield self.place.check(
                "optimizer moments", counted(len(self.moments), "moment"), "whether they are those of a table of users"
            )


def _is_empty(value: Any) -> bool:
    return value is None or (is_scalar(value) and not value) or (isinstance(value, list | dict | tuple) and not value)
