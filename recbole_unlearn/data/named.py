"""What requests name, taken together."""

from __future__ import annotations

from dataclasses import replace

from recbole_unlearn.data.request import WithdrawalRequest


class Named:
    """The users, items and interactions that requests name; to add one costs as much as that request is long.

    Args:
        requests: Requests in tokens, without conditions.

    Example:
        >>> named = Named(WithdrawalRequest.users(["196"]))
        >>> named.add(WithdrawalRequest.users(["22"]))
        >>> named.new_in(WithdrawalRequest.users(["196", "7"])).user_tokens, named.as_request("all").user_tokens
        (('7',), ('196', '22'))
    """

    def __init__(self, *requests: WithdrawalRequest) -> None:
        self._users: dict[str, None] = {}
        self._items: dict[str, None] = {}
        self._pairs: dict[tuple[str, str], None] = {}
        for request in requests:
            self.add(request)

    def add(self, request: WithdrawalRequest) -> None:
        """Add what a request names."""
        self._users |= dict.fromkeys(request.user_tokens)
        self._items |= dict.fromkeys(request.item_tokens)
        self._pairs |= dict.fromkeys(request.pair_tokens)

    def new_in(self, request: WithdrawalRequest) -> WithdrawalRequest:
        """Return a request without the users, items and interactions that are named already."""
        return replace(
            request,
            sample=None,
            user_tokens=tuple(user for user in request.user_tokens if user not in self._users),
            item_tokens=tuple(item for item in request.item_tokens if item not in self._items),
            pair_tokens=tuple(pair for pair in request.pair_tokens if pair not in self._pairs),
        )

    def as_request(self, scope: str | None) -> WithdrawalRequest:
        """Return one request for all of it."""
        return WithdrawalRequest(tuple(self._users), tuple(self._items), tuple(self._pairs), scope=scope)
