"""The withdrawal request: users, items and interactions to forget, in the data set's original tokens."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recbole_unlearn.data.condition import UNRESOLVED, Condition
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.request_file import read_request_file
from recbole_unlearn.data.sample import Sample
from recbole_unlearn.data.tokens import pairs_of, tokens_of
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.lineage.store import write_atomically


@dataclass(frozen=True)
class WithdrawalRequest:
    """Whole users, whole items and single interactions to forget; any of the three may be empty.

    Make one with ``users``, ``items``, ``interactions``, ``users_where``, ``items_where``, ``random`` or ``from_file``.
    Tokens are those of the data set's atomic file, as strings. A drawn request has no tokens until ``resolve`` draws them;
    ``sample`` stays beside them. ``matching.in_tokens`` puts tokens in the place of conditions.

    Args:
        user_tokens: Users who withdraw as a whole.
        item_tokens: Items that are withdrawn as a whole.
        pair_tokens: Single (user, item) interactions.
        sample: How the request is, or was, drawn.
        scope: ``train`` (the rows leave the training part only; a benchmark compares them with the test rows) or ``all``
            (they leave every part); none: ``train`` for a drawn request, ``all`` for one that names its tokens.
        users_match: All users whose row in the ``.user`` file meets this condition withdraw as a whole.
        items_match: All items whose row in the ``.item`` file meets this condition are withdrawn as a whole.

    Raises:
        RequestError: Something given is not a collection of tokens (see ``tokens.tokens_of``), or the scope is unknown.

    Example:
        >>> request = WithdrawalRequest.users(["196", 22])
        >>> request.user_tokens, request.kind
        (('196', '22'), 'users')
        >>> (WithdrawalRequest.items(["50"]) | request).kind
        'mixed'
    """

    user_tokens: tuple[str, ...] = ()
    item_tokens: tuple[str, ...] = ()
    pair_tokens: tuple[tuple[str, str], ...] = ()
    sample: Sample | None = None
    scope: str | None = None
    users_match: Condition | None = None
    items_match: Condition | None = None

    def __post_init__(self) -> None:
        named = tokens_of(self.user_tokens), tokens_of(self.item_tokens, "item"), pairs_of(self.pair_tokens)
        for name, tokens in zip(("user_tokens", "item_tokens", "pair_tokens"), named, strict=True):
            object.__setattr__(self, name, tuple(dict.fromkeys(tokens)))
        if self.sample is not None and not isinstance(self.sample, Sample):
            raise RequestError(
                f"sample is of type {type(self.sample).__name__}; make one with WithdrawalRequest.random"
            )
        if self.sample is not None and self.has_conditions:
            raise RequestError("a drawn request takes no condition; leave out `sample`, or users_where and items_where")
        if self.scope not in (None, "train", "all"):
            raise RequestError("the scope is not known; allowed: train, all")

    @classmethod
    def users(cls, tokens: Iterable[object]) -> WithdrawalRequest:
        """Forget every interaction of these users."""
        return cls(user_tokens=tokens_of(tokens))

    @classmethod
    def items(cls, tokens: Iterable[object]) -> WithdrawalRequest:
        """Forget every interaction with these items, and the items themselves."""
        return cls(item_tokens=tokens_of(tokens, "item"))

    @classmethod
    def users_where(cls, field: str, **condition: object) -> WithdrawalRequest:
        """Forget every interaction of all users whose row in the data set's ``.user`` file meets a condition.

        ``field`` is its name; ``equals`` and ``contains`` take a value, or a list of which any is enough; ``at_least`` and
        ``at_most`` a number (see ``Condition``). Raises RequestError for anything else.

        Example:
            >>> WithdrawalRequest.users_where("spammer", equals=1).users_match.as_json()
            {'field': 'spammer', 'equals': [1]}
        """
        return cls(users_match=Condition.of({"field": field, **condition}, "users_where"))

    @classmethod
    def items_where(cls, field: str, **condition: object) -> WithdrawalRequest:
        """Forget all items whose row in the data set's ``.item`` file meets a condition; see ``users_where``."""
        return cls(items_match=Condition.of({"field": field, **condition}, "items_where"))

    @classmethod
    def interactions(cls, pairs: Iterable[tuple[object, object]]) -> WithdrawalRequest:
        """Forget these (user, item) interactions."""
        return cls(pair_tokens=pairs_of(pairs))

    @classmethod
    def random(cls, alpha: float, seed: int, kind: str = "rand") -> WithdrawalRequest:
        """Draw the request from the training rows: ``rand@alpha`` by default, see ``Sample`` for the other kinds."""
        return cls(sample=Sample(kind, alpha, seed))

    @classmethod
    def from_file(cls, path: str | Path, user_field: str = "user_id", item_field: str = "item_id") -> WithdrawalRequest:
        """Read a request from a csv or tsv file with a header, a RecBole atomic file, or json.

        A table with a user column only withdraws whole users, with an item column only whole items, with both single
        interactions; other columns are ignored. Json holds ``users``, ``items``, ``interactions`` (pairs),
        ``users_where``, ``items_where`` (see ``Condition``) or ``sample``, and ``scope`` if the request says which
        parts the rows leave.

        Raises:
            RequestError: The file is missing, empty, no utf-8, or malformed; the message names the line.
        """
        content = read_request_file(Path(path), user_field, item_field)
        try:
            request = cls(
                content.get("users", ()),
                content.get("items", ()),
                content.get("interactions", ()),
                Sample.of(content["sample"]) if "sample" in content else None,
                content.get("scope"),
                *(
                    Condition.of(content[key], key) if key in content else None
                    for key in ("users_where", "items_where")
                ),
            )
        except RequestError as error:
            raise RequestError(f"{path}: {error}") from error
        if not request:
            raise RequestError(f"{path}: the request is empty; name at least one user, item or interaction")
        return request

    def __or__(self, other: WithdrawalRequest) -> WithdrawalRequest:
        if self.sample or other.sample:
            raise RequestError("a drawn request cannot be joined with another")
        if self.scope != other.scope:
            raise RequestError(f"a request of scope {self.scope} cannot be joined with one of scope {other.scope}")
        if (self.users_match and other.users_match) or (self.items_match and other.items_match):
            raise RequestError("two conditions on users, or on items, cannot be joined; carry them out one by one")
        return replace(
            self,
            user_tokens=self.user_tokens + other.user_tokens,
            item_tokens=self.item_tokens + other.item_tokens,
            pair_tokens=self.pair_tokens + other.pair_tokens,
            users_match=self.users_match or other.users_match,
            items_match=self.items_match or other.items_match,
        )

    def __bool__(self) -> bool:
        return self._named or self.has_conditions or self.sample is not None

    @property
    def has_conditions(self) -> bool:
        """Whether it holds conditions, which ``matching.in_tokens`` has not turned into tokens yet."""
        return self.users_match is not None or self.items_match is not None

    @property
    def _named(self) -> bool:
        return bool(self.user_tokens or self.item_tokens or self.pair_tokens)

    @property
    def kind(self) -> str:
        """``users``, ``items``, ``interactions``, ``mixed``, or the kind of the sample."""
        if self.sample:
            return "interactions" if self.sample.kind == "interactions" else "users"
        named = {"users": self.user_tokens, "items": self.item_tokens, "interactions": self.pair_tokens}
        kinds = [kind for kind, tokens in named.items() if tokens]
        return kinds[0] if len(kinds) == 1 else "mixed"

    def save(self, path: str | Path) -> None:
        """Write the request as json that ``from_file`` reads back."""
        content: dict[str, Any] = {"scope": self.scope} if self.scope else {}
        if self.sample:
            content["sample"] = vars(self.sample)
        if self._named:
            pairs = [list(pair) for pair in self.pair_tokens]
            content |= {"users": list(self.user_tokens), "items": list(self.item_tokens), "interactions": pairs}
        for key, condition in (("users_where", self.users_match), ("items_where", self.items_match)):
            content |= {key: condition.as_json()} if condition else {}
        text = json.dumps(content, indent=1) + "\n"
        write_atomically(path, lambda file: file.write(text.encode()))

    def resolve(self, rows: Interactions, scope: str | None = None, n_rows: int | None = None) -> Withdrawal:
        """Find the request's training rows.

        Args:
            rows: The training rows and the tokens of their ids.
            scope: ``train`` or ``all``; the request's own by default.
            n_rows: Number of training rows, if ``rows`` are only those of the users that the request names.

        Returns:
            The withdrawal. A token of the data set without training rows is not an error.

        Raises:
            RequestError: The request is empty, names tokens that the data set does not know, or leaves no row.
        """
        began = time.perf_counter()
        if not self:
            raise RequestError("the request is empty; name at least one user, item or interaction")
        if self.has_conditions:
            raise RequestError(UNRESOLVED)
        scope = scope or self.scope or ("train" if self.sample else "all")
        drawn = self if self._named else self._draw(rows)
        request = replace(drawn, sample=self.sample, scope=scope)
        users = rows.user_ids(request.user_tokens)
        items = rows.item_ids(request.item_tokens)
        pairs = rows.pair_keys(
            rows.user_ids(user for user, _ in request.pair_tokens),
            rows.item_ids(item for _, item in request.pair_tokens),
        )
        forget = rows.of_users(users) | rows.of_items(items)
        if len(pairs):
            forget |= np.isin(rows.pair_keys(), pairs)
        n_rows = len(forget) if n_rows is None else n_rows
        if np.count_nonzero(forget) == n_rows:
            raise RequestError(
                f"the request withdraws all {n_rows} training rows; nothing would be left to learn from. "
                f"Name fewer users or items"
            )
        leaving = rows.users[forget], rows.items[forget]
        named = ((users, leaving[0]), (items, leaving[1]), (pairs, rows.pair_keys(*leaving)))
        absent = sum(int((~np.isin(ids, present)).sum()) for ids, present in named if len(ids))
        return Withdrawal(request, scope, forget, users, items, absent, time.perf_counter() - began)

    def _draw(self, rows: Interactions) -> WithdrawalRequest:
        sample = self.sample
        assert sample is not None
        return WithdrawalRequest(*sample.draw(rows))


@dataclass(frozen=True)
class Withdrawal:
    """A request resolved against the training rows.

    Args:
        request: The request in concrete tokens, also where it was drawn.
        scope: ``train`` (the rows leave the training part) or ``all`` (they leave every part).
        forget: Which training rows are forgotten, bool, shape [rows].
        users: Ids of the users that were named as a whole.
        items: Ids of the items that were named as a whole.
        absent: How many of the named users, items and pairs have no training row.
        seconds: How long it took to find the rows; it counts where the time of a withdrawal is told.
    """

    request: WithdrawalRequest
    scope: str
    forget: np.ndarray
    users: np.ndarray
    items: np.ndarray
    absent: int = 0
    seconds: float = 0.0

    def resolve(self, rows: Interactions, scope: str | None = None) -> Withdrawal:
        """Return this withdrawal, so that it can be handed on in the place of its request.

        Raises:
            RequestError: It is of another scope, or of another number of rows.
        """
        if len(rows.users) != len(self.forget) or scope not in (None, self.scope):
            raise RequestError(
                f"the request was resolved with scope {self.scope} against {len(self.forget)} rows; here are "
                f"{len(rows.users)} and scope {scope}: resolve it anew"
            )
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is withdrawn and from where; the order of the tokens does not matter."""
        request = self.request
        content = [sorted(request.user_tokens), sorted(request.item_tokens), sorted(request.pair_tokens), self.scope]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def nothing_withdrawn(rows: Interactions) -> Withdrawal:
    """Return the withdrawal of nothing, for a method that works for users who withdrew before."""
    nobody = np.array([], dtype=np.int64)
    return Withdrawal(WithdrawalRequest(scope="all"), "all", np.zeros(len(rows.users), dtype=bool), nobody, nobody)
