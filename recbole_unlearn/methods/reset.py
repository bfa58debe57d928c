"""ResetUE: a control that draws the embeddings of users without rows anew and changes nothing else."""

from collections.abc import Iterable

import numpy as np
import torch

from recbole_unlearn.data.frozen import token_keys
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.model.adapter import InfluenceAdapter, write_rows


class ResetUE(UnlearnMethod):
    """Draw the embeddings of fully withdrawn users and items anew; Retrain leaves them at such a draw, too.

    Edges of withdrawn rows are removed from the graph, if there is one. Users who keep some rows do not change, and item
    embeddings keep what they learned from withdrawn rows. Use it as a control.

    Formula: e_u' ~ the model's initialiser, for u with no row left. Cost: a draw per withdrawn user.
    """

    name = "ResetUE"

    def is_local(self, model_class: type, whole_users: bool) -> bool:
        """Return True: the draws need tokens only."""
        return True

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Reset the rows in place; each draw is keyed by the seed, the table and the token."""
        adapter = InfluenceAdapter.of(context.model, context.rebuilt)
        adapter.drop_edges(*context.forgotten)
        users = context.gone
        redraw(adapter, adapter.user_tables, users, context.rows.user_tokens, context.seed)
        reset_items(context, adapter)
        reset_beside(context, adapter)
        adapter.parameters_changed()
        return Outcome(context.model, {"users_reset": len(users), "users_unchanged": len(context.partial)})


def reset_items(context: UnlearnContext, adapter: InfluenceAdapter) -> None:
    """Draw the embeddings of withdrawn items anew."""
    redraw(adapter, adapter.item_tables, context.withdrawal.items, context.rows.item_tokens, context.seed)


def reset_beside(context: UnlearnContext, adapter: InfluenceAdapter) -> None:
    """Draw the rows anew that users with no row left have in tables that their own scores do not read."""
    for table in adapter.beside_tables:
        redraw(adapter, [table], context.gone, context.rows.user_tokens, context.seed)


def redraw(
    adapter: InfluenceAdapter, tables: list[torch.nn.Embedding], ids: np.ndarray, tokens: np.ndarray, seed: int
) -> None:
    """Overwrite the embeddings of these ids with new draws; ``tokens`` are those of all ids."""
    if len(ids):
        rows = draw_rows(adapter, tables, tokens[ids], seed)
        write_rows(tables, torch.from_numpy(ids).to(rows.device), rows)


def draw_rows(
    adapter: InfluenceAdapter, tables: list[torch.nn.Embedding], tokens: Iterable[str], seed: int
) -> torch.Tensor:
    """Draw a new embedding for each token, shape [tokens, dims]; the same seed, tables and token give the same one.

    Without the tables a user and an item of one name would get the same draw, and the item the user's highest score.
    """
    kind = ", ".join(adapter.names(tables))
    keys = token_keys((f"{kind}: {token}" for token in tokens), seed) >> 1  # torch seeds are signed
    drawn = [adapter.draw_rows(tables, torch.Generator().manual_seed(int(key))) for key in keys]
    return torch.stack(drawn).to(tables[0].weight)
