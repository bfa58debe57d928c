"""NeuMF with full-sort scores that do not expand all pairs, and its adapter with a closed-form Jacobian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from recbole.model.general_recommender.neumf import NeuMF as RecBoleNeuMF
from torch import Tensor, nn

from recbole_unlearn.fast import is_on
from recbole_unlearn.fast.layers import use_fast_layers
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter, Tensors, read_rows

_CHUNK_ENTRIES = 1 << 19  # hidden activations at a time: 2 MB of float32, which stays in a core's cache


class NeuMF(RecBoleNeuMF):
    """RecBole's NeuMF, with ``full_sort_predict``; parameters, loss and checkpoints are RecBole's."""

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.is_fast = is_on(config)
        if self.is_fast:
            use_fast_layers(self)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Score every item for each user.

        The first MLP layer is linear in [user; item], so its two halves are computed once per user and once per item.

        Returns:
            Probabilities, shape [users * items], equal to ``predict`` on every pair.

        Raises:
            NotImplementedError: With ``fast: False``, as in RecBole, whose trainer then asks ``predict`` for every pair.
        """
        if not self.is_fast:
            return super().full_sort_predict(interaction)
        users = interaction[self.USER_ID]
        pairs = _CHUNK_ENTRIES // max(self.mlp_hidden_size)
        items = torch.arange(self.n_items, device=users.device)
        items = items.split(pairs if users.device.type == "cpu" else self.n_items)
        tiles = [NeuMFBlocks(self, tile.unsqueeze(0)) for tile in items]
        vectors = torch.cat([table.weight[users] for table in _user_tables(self)], dim=-1)
        parts = vectors.split(max(1, pairs // self.n_items))
        scores = [torch.cat([tile.logits(part) for tile in tiles], dim=1) for part in parts]
        return torch.cat(scores).sigmoid_().flatten()


def _user_tables(model: Any) -> list[nn.Embedding]:
    switches = ((model.mf_train, model.user_mf_embedding), (model.mlp_train, model.user_mlp_embedding))
    return [table for used, table in switches if used]


class NeuMFBlocks:
    """Logits and Jacobian of padded item lists as a function of the user embeddings [mf ; mlp].

    With items, MLP and head fixed, s = w_mf . (e_mf * q_mf) + w_mlp . relu(... relu(W e_mlp + W' q_mlp + b) ...) + b0 is
    piecewise linear in e = [e_mf ; e_mlp], so ds/de is exact and the block's Hessian is the Gauss-Newton matrix.

    Args:
        model: A NeuMF, in eval mode (no dropout).
        items: Item ids, shape [users, rows]; [1, rows] when all users share one list.
        of_items: Whether users and items change places: the same for item embeddings, with ``items`` the ids of users.
    """

    def __init__(self, model: Any, items: Tensor, of_items: bool = False) -> None:
        self.mf_size = model.mf_embedding_size if model.mf_train else 0
        head = model.predict_layer.weight.detach().squeeze(0)
        self.bias = model.predict_layer.bias.detach()
        self.mf_head, self.mlp_head = head[: self.mf_size], head[self.mf_size :]
        side = "user" if of_items else "item"
        mf_table, mlp_table = (getattr(model, f"{side}_{part}_embedding").weight.detach() for part in ("mf", "mlp"))
        gather, product = nn.functional.embedding, nn.functional.linear
        self.mf_items = gather(items, mf_table) if model.mf_train else None
        self.first_items: Tensor | None = None
        if model.mlp_train:
            first, *self.deeper = [layer for layer in model.mlp_layers.mlp_layers if isinstance(layer, nn.Linear)]
            halves = first.weight.detach().split(model.mlp_embedding_size, dim=1)
            self.first_users, fixed = reversed(halves) if of_items else halves
            self.first_items = product(gather(items, mlp_table), fixed, first.bias.detach())

    def __getitem__(self, index: Tensor) -> NeuMFBlocks:
        lists = self.mf_items if self.mf_items is not None else self.first_items
        if len(index) == 1 and lists is not None and len(lists) == 1:
            return self  # the only list: no copy of a catalogue
        part = object.__new__(NeuMFBlocks)
        part.__dict__.update(self.__dict__)
        part.mf_items = None if self.mf_items is None else self.mf_items[index]
        part.first_items = None if self.first_items is None else self.first_items[index]
        return part

    @torch.no_grad()
    def logits(self, vectors: Tensor) -> Tensor:
        """Return s, shape [users, rows]."""
        scores, _ = self._forward(vectors)
        return scores

    @torch.no_grad()
    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return s, shape [users, rows], and J = ds/de, shape [users, rows, dims]."""
        scores, hidden = self._forward(vectors)
        jacobian = vectors.new_empty(*scores.shape, vectors.shape[1])
        if self.mf_items is not None:
            jacobian[..., : self.mf_size] = self.mf_items * self.mf_head
        if hidden:
            back = (hidden[-1] > 0) * self.mlp_head
            for layer, below in zip(reversed(self.deeper), reversed(hidden[:-1]), strict=True):
                back = (back @ layer.weight.detach()).mul_(below > 0)
            jacobian[..., self.mf_size :] = back @ self.first_users
        return scores, jacobian

    def _forward(self, vectors: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the activations of each hidden layer."""
        mf, mlp = vectors[:, : self.mf_size], vectors[:, self.mf_size :]
        scores, hidden = self.bias, []
        if self.mf_items is not None:
            scores = scores + (self.mf_items @ (mf * self.mf_head).unsqueeze(-1)).squeeze(-1)
        if self.first_items is not None:
            hidden.append((self.first_items + (mlp @ self.first_users.T).unsqueeze(1)).relu_())
            for layer in self.deeper:
                hidden.append(
                    torch.nn.functional.linear(hidden[-1], layer.weight.detach(), layer.bias.detach()).relu_()
                )
            scores = scores + hidden[-1] @ self.mlp_head
        return scores, hidden


class NeuMFAdapter(InfluenceAdapter):
    """NeuMF's user embedding is [mf ; mlp], or the one of the two that is trained."""

    model_name = "NeuMF"

    @property
    def user_tables(self) -> list[nn.Embedding]:
        """The user embeddings that reach the loss."""
        return _user_tables(self.model)

    @property
    def item_tables(self) -> list[nn.Embedding]:
        """The item embeddings that reach the loss."""
        switches = (
            (self.model.mf_train, self.model.item_mf_embedding),
            (self.model.mlp_train, self.model.item_mlp_embedding),
        )
        return [table for used, table in switches if used]

    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw one embedding from N(0, 0.01^2), RecBole's initialiser of NeuMF."""
        return torch.empty(sum(table.embedding_dim for table in tables)).normal_(0.0, 0.01, generator=generator)

    @torch.no_grad()
    def start_from(self, users: Tensor, items: Tensor) -> None:
        """Add the embeddings to both pairs of tables; the head is set to the product of the first pair."""
        super().start_from(users, items)
        if self.model.mf_train:
            self.model.predict_layer.weight[:, : self.model.mf_embedding_size] = 1.0

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """The head, and the MLP if it is trained."""
        mlp = list(self.model.mlp_layers.parameters()) if self.model.mlp_train else []
        return mlp + list(self.model.predict_layer.parameters())

    def encode(self, parameters: Mapping[str, Tensor]) -> Tensors:
        """Return the tables, with the first MLP layer applied to users and items instead of to every row."""
        parts = []
        if self.model.mf_train:
            parts += [parameters["user_mf_embedding.weight"], parameters["item_mf_embedding.weight"]]
        if self.model.mlp_train:
            first, *deeper = self._linear_layers()
            user_half, item_half = parameters[f"{first}.weight"].split(self.model.mlp_embedding_size, dim=1)
            parts.append(parameters["user_mlp_embedding.weight"] @ user_half.T)
            parts.append(parameters["item_mlp_embedding.weight"] @ item_half.T + parameters[f"{first}.bias"])
            parts += [parameters[f"{layer}.{part}"] for layer in deeper for part in ("weight", "bias")]
        return (*parts, parameters["predict_layer.weight"], parameters["predict_layer.bias"])

    def score(self, encoded: Tensors, rows: LossRows) -> Tensor:
        """Return the logit of each row; no dropout."""
        gather = nn.functional.embedding
        *parts, head, bias = encoded
        outputs = []
        if self.model.mf_train:
            user, item, *parts = parts
            outputs.append(gather(rows.users, user) * gather(rows.items, item))
        if self.model.mlp_train:
            user, item, *deeper = parts
            hidden = (gather(rows.users, user) + gather(rows.items, item)).relu()
            for weight, offset in zip(deeper[::2], deeper[1::2], strict=True):
                hidden = nn.functional.linear(hidden, weight, offset).relu()
            outputs.append(hidden)
        widths = [output.shape[1] for output in outputs]
        return sum((o @ h.T for o, h in zip(outputs, head.split(widths, dim=1), strict=True)), start=bias).squeeze(1)

    def _linear_layers(self) -> list[str]:
        return [name for name, layer in self.model.named_modules() if isinstance(layer, nn.Linear) and "mlp" in name]

    def user_blocks(self, items: Tensor, others: Tensor | None = None) -> NeuMFBlocks:
        """Return the logits of these items as a function of the user embeddings."""
        assert others is None, "NeuMF's loss is pointwise"
        return NeuMFBlocks(self.model, items)

    has_item_blocks = True

    def item_blocks(self, users: Tensor) -> NeuMFBlocks:
        """Return the logits of these users as a function of the item embeddings."""
        return NeuMFBlocks(self.model, users, of_items=True)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the logit of each pair; call in eval mode."""
        return self.model.forward(users, items)

    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return [mf ; mlp] of each pair's user and item."""
        return read_rows(self.user_tables, users), read_rows(self.item_tables, items)
