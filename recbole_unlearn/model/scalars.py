"""RecBole's tensorboard writer, made with the first scalar: most withdrawals train nothing and leave no file."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from recbole.trainer import Trainer
from recbole.utils import get_tensorboard

from recbole_unlearn.data.redirect import redirected


class Scalars:
    """What RecBole's ``get_tensorboard`` returns, which makes its folder and file when it is first used.

    Args:
        logger: RecBole's logger, whose file names the folder.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    @cached_property
    def _writer(self) -> Any:
        return get_tensorboard(self._logger)

    def __getattr__(self, name: str) -> Any:
        """Return what RecBole's writer has under this name."""
        if name.startswith("_"):
            raise AttributeError(name)  # of a copy or a pickle, which are made without __init__
        return getattr(self._writer, name)


class LaterScalars(Trainer):
    """RecBole's Trainer with ``Scalars`` in the place of its writer; a last base of trainers that extend RecBole's."""

    if "get_tensorboard" in getattr(Trainer.__init__, "__globals__", {}):  # else somebody has replaced it
        __init__ = redirected(Trainer.__init__, get_tensorboard=Scalars)
