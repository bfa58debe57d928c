"""The key ``policy``: what follows a withdrawal, and by when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from recbole_unlearn.exceptions import ConfigError, suggest

_KEYS = ("relearn_after", "retrain_after", "rehearsal")
_UNITS = {"h": "hours", "d": "days"}
_LONGEST = timedelta(days=36_500)
_TIMES = "hours such as 24h or days such as 90d"


@dataclass(frozen=True)
class Policy:
    """Which training must follow a withdrawal from a trained model, and by when.

    Args:
        relearn_after: Time after which a relearning (RetrainSVD) must be done; none: it does not depend on time.
        relearn_users: Number of withdrawn users after which it must be done; none: it does not depend on their number.
        retrain_after: Time after which Retrain must be done; none: never.
        rehearsal: Retained users who are withdrawn from a copy to test a relearning; 0: no test.
    """

    relearn_after: timedelta | None = None
    relearn_users: int | None = None
    retrain_after: timedelta | None = None
    rehearsal: int = 50

    @property
    def relearns(self) -> bool:
        """Whether a relearning must follow at some time."""
        return self.relearn_after is not None or self.relearn_users is not None


def read_policy(value: Any) -> Policy | None:
    """Return the policy that a value of the key ``policy`` says; None says that nothing follows.

    Args:
        value: A mapping with ``relearn_after`` (``24h``, ``7d``, ``100 users`` or ``now``), ``retrain_after`` (``90d``) and
            ``rehearsal`` (a number of users), each of which may be missing.

    Raises:
        ConfigError: Another key, or a value that says no time and no number of users.

    Example:
        >>> read_policy({"relearn_after": "24h", "retrain_after": "90d"}).retrain_after.days
        90
        >>> read_policy({"relearn_after": "100 users"}).relearn_users
        100
        >>> read_policy({"relearn_after": 24})
        Traceback (most recent call last):
        recbole_unlearn.exceptions.ConfigError: policy: relearn_after is 24; allowed: now, hours such as 24h or days ...
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(f"policy is {value!r}; it must hold keys of its own: {', '.join(_KEYS)}")
    for key in value:
        if key not in _KEYS:
            raise ConfigError(f"policy: unknown key {key!r};{suggest(str(key), _KEYS)} allowed: {', '.join(_KEYS)}")
    relearn, retrain, rehearsal = value.get("relearn_after"), value.get("retrain_after"), value.get("rehearsal", 50)
    after, users = (None, None) if relearn is None else _relearn_after(relearn)
    if isinstance(rehearsal, bool) or not isinstance(rehearsal, int) or rehearsal < 0:
        raise ConfigError(f"policy: rehearsal is {rehearsal!r}; allowed: a number of users, or 0 for no rehearsal")
    limit = None if retrain is None else duration_of(retrain)
    if retrain is not None and limit is None:
        raise ConfigError(f"policy: retrain_after is {retrain!r}; allowed: {_TIMES}")
    return Policy(after, users, limit, rehearsal)


def _relearn_after(value: Any) -> tuple[timedelta | None, int | None]:
    """Return the time or the number of users of ``relearn_after``."""
    if value == "now":
        return timedelta(0), None
    users = re.fullmatch(r"([1-9]\d{0,8}) users?", value) if isinstance(value, str) else None
    if users:
        return None, int(users[1])
    after = duration_of(value)
    if after is None:
        raise ConfigError(
            f"policy: relearn_after is {value!r}; allowed: now, {_TIMES}, or a number of users such as 100 users"
        )
    return after, None


def duration_of(value: Any) -> timedelta | None:
    """Return the time that ``24h`` or ``90d`` says, or None if a value says none.

    >>> duration_of("36h"), duration_of("90"), duration_of("0h")
    (datetime.timedelta(days=1, seconds=43200), None, None)
    """
    match = re.fullmatch(r"([1-9]\d{0,5}) ?([hd])", value) if isinstance(value, str) else None
    if match is None:
        return None
    time = timedelta(**{_UNITS[match[2]]: int(match[1])})
    return time if time <= _LONGEST else None
