"""Whether an adapter's formula is that of a model of one's own: a subclass may score otherwise than its parent."""

from __future__ import annotations

from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.generic import GenericAdapter
from recbole_unlearn.model.renew import moved_copy

KNOWN_MODULES = ("recbole.", "recbole_unlearn.")


def name_of(kind: type) -> str:
    """Return the full name of a class.

    >>> name_of(dict)
    'builtins.dict'
    """
    return f"{kind.__module__}.{kind.__qualname__}"


def own_name_of(kind: type) -> str | None:
    """Return the full name of a class that somebody wrote; None for RecBole's and ours."""
    return None if kind.__module__.startswith(KNOWN_MODULES) else name_of(kind)


_PAIRS = 64


def check_own_model(model: nn.Module) -> None:
    """Refuse a user's own model class whose score or loss differs from its adapter's.

    Both scores are computed for some pairs by a copy whose parameters are moved, so that one that starts at zero is seen.

    Raises:
        UnsupportedModelError: The adapter is that of a parent, and the score or the loss is another, or cannot be compared.
    """
    own = type(model)
    if own.__module__.startswith(KNOWN_MODULES):
        InfluenceAdapter.of(model)
        return
    adapter = InfluenceAdapter.class_for(own)
    if adapter is GenericAdapter:  # which asks the model itself for scores and loss
        _check_full_sort(model)
        return
    parent = adapter.model_name
    how = (
        f"write an InfluenceAdapter with model_name = {own.__name__!r} (a GenericAdapter of that name asks the model itself) "
        f"and name it in `adapters`, or use Retrain, which works with every model"
    )
    owner = next(base for base in own.__mro__ if "calculate_loss" in vars(base))
    if owner.__name__ != parent and not owner.__module__.startswith(KNOWN_MODULES):
        raise UnsupportedModelError(
            f"{own.__name__} has a calculate_loss of its own, and the adapter of {parent} knows that of {parent}: {how}"
        )
    try:
        same = _scores_agree(model)
    except UnsupportedModelError:
        raise
    except Exception as error:  # whatever somebody's code raises
        raise UnsupportedModelError(
            f"the score of {own.__name__} cannot be compared with that of {parent} ({type(error).__name__}): {how}"
        ) from error
    if not same:
        raise UnsupportedModelError(
            f"{own.__name__} scores otherwise than {parent}, whose formula the influence methods would use: {how}"
        )


def _check_full_sort(model: nn.Module) -> None:
    """Refuse a model whose lists are made of other scores than ``predict`` gives, which the generic adapter asks."""
    if not _scores_agree(model):
        raise UnsupportedModelError(
            f"full_sort_predict and predict of {type(model).__name__} give different scores; make them agree, or use Retrain"
        )


@torch.no_grad()
def _scores_agree(model: Any) -> bool:
    """Return whether ``predict``, and ``full_sort_predict`` where there is one, are the adapter's logit or its sigmoid."""
    generator = torch.Generator().manual_seed(0)
    moved = moved_copy(model, generator)
    adapter = InfluenceAdapter.of(moved)
    adapter.parameters_changed()
    device = next(moved.parameters()).device
    users = torch.randint(1, moved.n_users, (_PAIRS,), generator=generator).to(device)
    items = torch.randint(1, moved.n_items, (_PAIRS,), generator=generator).to(device)
    expected = adapter.logits(users, items)
    pairs = Interaction({moved.USER_ID: users, moved.ITEM_ID: items})
    if not _same(moved.predict(pairs), expected):
        return False
    try:
        ranked = moved.full_sort_predict(Interaction({moved.USER_ID: users}))
    except NotImplementedError:
        return True
    return _same(ranked.view(_PAIRS, -1)[torch.arange(_PAIRS, device=device), items], expected)


def _same(scores: Tensor, logits: Tensor) -> bool:
    scores = scores.flatten()
    return any(torch.allclose(scores, known, rtol=1e-3, atol=1e-5) for known in (logits, torch.sigmoid(logits)))
