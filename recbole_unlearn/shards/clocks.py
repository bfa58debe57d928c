"""Three clocks of one withdrawal (serial, parallel, request), from parts that were timed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def three_clocks(
    seconds: float, shard_seconds: Mapping[int, float], requests: Sequence[Sequence[int]]
) -> dict[str, float]:
    """Return what a withdrawal takes on one machine, on one machine per shard, and for one user.

    Args:
        seconds: The whole withdrawal, its shards trained one after the other.
        shard_seconds: The part of each touched shard.
        requests: The shards that single requests touch.

    Returns:
        ``serial``: as measured. ``parallel``: the longest touched shard, and all that is not a shard (the aggregator).
        ``request``: the mean over the single requests of their shards and all that is not a shard.

    Example:
        >>> three_clocks(10.0, {0: 4.0, 1: 5.0}, [[0], [1], [0, 1], [0]])
        {'serial': 10.0, 'parallel': 6.0, 'request': 6.5}
    """
    rest = seconds - sum(shard_seconds.values())
    singles = [sum(shard_seconds[shard] for shard in shards) for shards in requests]
    return {
        "serial": seconds,
        "parallel": max(shard_seconds.values()) + rest,
        "request": sum(singles) / len(singles) + rest,
    }
