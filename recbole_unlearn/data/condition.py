"""A condition on a field of users or items: whose row in the ``.user`` or ``.item`` file meets it withdraws as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from recbole_unlearn.data.tokens import is_missing
from recbole_unlearn.exceptions import RequestError, suggest

_COMPARISONS = ("equals", "contains", "at_least", "at_most")
_KEYS = ("field", *_COMPARISONS)
_FORM = "write it like {'field': 'spammer', 'equals': 1}"
_ALLOWED = {"token": "equals", "token_seq": "contains", "float": "equals, at_least, at_most"}
UNRESOLVED = (
    "the request holds a condition, and training rows alone do not say who meets it; give in its place what "
    "recbole_unlearn.data.matching.in_tokens(request, dataset) returns"
)


@dataclass(frozen=True)
class Condition:
    """What a field of a user's or an item's row must hold. Make one with ``of``, which checks it.

    Args:
        field: Name of the field in the file's header, without its type.
        equals: The field is one of these values; texts or whole numbers for a field of type token, numbers for one of type
            float.
        contains: The field, of type token_seq, holds one of these tokens.
        at_least: The field, of type float, is this or more.
        at_most: The field, of type float, is this or less.
    """

    field: str
    equals: tuple[str | int | float, ...] = ()
    contains: tuple[str | int | float, ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    @classmethod
    def of(cls, given: Any, name: str) -> Condition:
        """Return the condition that a dict describes, as it stands in a request file.

        Args:
            given: ``field`` with ``equals`` or ``contains`` (a value, or a list of which any is enough), or with
                ``at_least``, ``at_most`` or both.
            name: ``users_where`` or ``items_where``, for errors.

        Raises:
            RequestError: It is no such dict; the message repeats no value, which may be of a person.

        Example:
            >>> Condition.of({"field": "class", "contains": ["Horror", "Crime"]}, "items_where").contains
            ('Horror', 'Crime')
        """
        if not isinstance(given, dict):
            raise RequestError(f"{name} is of type {type(given).__name__}; it is one condition: {_FORM}")
        unknown = [key for key in given if key not in _KEYS]
        if unknown:
            hint = next(filter(None, (suggest(str(key), _KEYS) for key in unknown)), "")
            raise RequestError(
                f"{name}: {len(unknown)} of {len(given)} keys are not known;{hint} allowed: {', '.join(_KEYS)}"
            )
        field = given.get("field")
        if not isinstance(field, str) or not field.strip():
            raise RequestError(f"{name} names no field of the file; {_FORM}")
        named = [key for key in _COMPARISONS if key in given]
        if not named or (len(named) > 1 and named != ["at_least", "at_most"]):
            raise RequestError(
                f"{name} has {' and '.join(named) or 'no value to compare with'}; it takes equals, or contains, or at_least "
                f"and at_most or one of the two"
            )
        values = {key: _values(given[key], f"{name}: {key}") for key in ("equals", "contains") if key in given}
        limits = {key: _number(given[key], f"{name}: {key}") for key in ("at_least", "at_most") if key in given}
        return cls(field.strip(), **values, **limits)  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """Return the dict from which ``of`` makes this condition."""
        values = {key: getattr(self, key) for key in _COMPARISONS}
        kept = {key: value for key, value in values.items() if value not in ((), None)}
        return {"field": self.field, **{key: list(one) if isinstance(one, tuple) else one for key, one in kept.items()}}

    def check(self, kind: str, separator: str) -> Callable[[str], bool]:
        """Return the function that says whether a text of the field meets the condition.

        Args:
            kind: Type of the field in the header: token, token_seq or float.
            separator: What stands between the tokens of a token_seq, ``seq_separator``.

        Raises:
            RequestError: The condition does not fit a field of this type.
        """
        allowed = _ALLOWED.get(kind, "").split(", ")
        used = [key for key in _COMPARISONS if getattr(self, key) not in ((), None)]
        if not set(used) <= set(allowed):
            told = f"such a field takes {' or '.join(allowed)}" if allowed[0] else "conditions cannot ask such a field"
            listed = ", which may be a list of values" * (kind == "token")
            raise RequestError(f"{self.field!r} is of type {kind}, and {used[0]} was given; {told}{listed}")
        types, told = ((int, float), "numbers") if kind == "float" else ((str, int), "texts or whole numbers")
        values = (*self.equals, *self.contains)
        if not all(isinstance(value, types) for value in values):
            raise RequestError(f"{self.field!r} is of type {kind}, so {used[0]} takes {told}, as the file has them")
        texts = set(map(str, values))
        if kind == "token":
            return texts.__contains__
        if kind == "token_seq":
            return lambda text: not texts.isdisjoint(text.split(separator))
        return lambda text: self._is_met_by(float(text))

    def _is_met_by(self, number: float) -> bool:
        if self.equals:
            return number in self.equals
        return (self.at_least is None or number >= self.at_least) and (self.at_most is None or number <= self.at_most)


def _values(given: object, what: str) -> tuple[str | int | float, ...]:
    values = list(given) if isinstance(given, list | tuple) else [given]
    if not values:
        raise RequestError(f"{what} is an empty list; name at least one value")
    return tuple(_value(value, what) for value in values)


def _value(given: object, what: str) -> str | int | float:
    if isinstance(given, str):
        if not is_missing(given.strip()):
            return given.strip()
        raise RequestError(f"{what} has an empty text or NaN; rows without a value cannot be named, so leave it out")
    if isinstance(given, bool) or not isinstance(given, Real):
        raise RequestError(f"{what} has a value of type {type(given).__name__}; allowed: texts and numbers")
    return _number(given, what)


def _number(given: Any, what: str) -> int | float:
    if isinstance(given, bool) or not isinstance(given, Real):
        raise RequestError(f"{what} has a value of type {type(given).__name__}; allowed: a number")
    number = int(given) if isinstance(given, Integral) else float(given)
    if not -1e100 < number < 1e100:  # nor NaN
        raise RequestError(f"{what} has a number that is too large or none; allowed: below 1e100")
    return number
