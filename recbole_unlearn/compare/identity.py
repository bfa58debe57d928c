"""What a report says of its run: when, by which command, on which data, from which code."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from recbole_unlearn.checkpoints.state import public
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.settings.revision import git_revision


def identity_of(config: Any, data: WithdrawalDataset, time: datetime) -> dict[str, Any]:
    """Return what tells a run from another one.

    Args:
        config: A ``recbole_unlearn.Config``.
        data: The data set, before the withdrawal.
        time: When the report was made, UTC.

    Returns:
        ``time``; ``command`` with the keys that were given, paths of requests and keys left out; ``users``, ``items`` and
        ``rows`` (train, valid, test) of the data set; ``epochs``; ``commit`` of the code, None without git.
    """
    named = {"model": config["model"], "dataset": config["dataset"]}
    given = {key: value for key, value in public(config.external_config_dict).items() if not _is_path(value)}
    others = sorted((key, value) for key, value in given.items() if key not in named)
    words = [shlex.quote(f"--{key}={value}") for key, value in [*named.items(), *others]]
    return {
        "time": f"{time:%Y-%m-%dT%H:%M:%SZ}",
        "command": " ".join(["run_unlearn.py", *words]),
        "users": data.user_num - 1,
        "items": data.item_num - 1,
        "rows": [len(data.interactions(part).users) for part in range(3)],
        "epochs": config["epochs"],
        "commit": git_revision(),
    }


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path) and any(sign in str(value) for sign in ("/", "\\"))
