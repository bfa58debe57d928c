"""Tests for your own methods: what every method promises, for every kind of request. Needs pytest.

Five lines test a method::

    from recbole_unlearn.testing import MethodConformance


    class TestFoo(MethodConformance):
        method = "my_pkg.module:Foo"
"""

from __future__ import annotations

import contextlib
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods import Outcome
from recbole_unlearn.methods.plugins import find_method
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.trainer import Unlearner, train_for_method, train_model

REQUESTS = {
    "users": WithdrawalRequest.users(["u3", "u8"]),
    "items": WithdrawalRequest.items(["i4"]),
    "interactions": WithdrawalRequest.random(5, 1, "interactions"),
    "mixed": WithdrawalRequest.users(["u3"])
    | WithdrawalRequest.items(["i4"])
    | WithdrawalRequest.interactions([("u5", "i1")]),
}


class MethodConformance:
    """What a method promises; subclass it with a name that starts with ``Test``.

    Attributes:
        method: Name of the method: built in, or ``my_pkg.module:Foo``.
        options: Keys and values for it.
        models: Models that it must work on.
        refuses: Models of these for which it must raise UnsupportedModelError instead.
        unchanged: Kinds of request for which it rightly leaves every parameter as it was.
    """

    method: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    models: ClassVar[tuple[str, ...]] = ("NeuMF", "LightGCN", "BPR")
    refuses: ClassVar[tuple[str, ...]] = ()
    unchanged: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Ask on every model and every kind of request."""
        if "model" in metafunc.fixturenames:
            metafunc.parametrize("model", cls.models)
        if "kind" in metafunc.fixturenames:
            metafunc.parametrize("kind", list(REQUESTS))

    @pytest.fixture(autouse=True)
    def _somewhere_else(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)  # RecBole writes logs into the current folder

    def test_it_keeps_its_promises(self, model: str, kind: str) -> None:
        """It forgets, is deterministic, keeps shapes, gives finite numbers, and does nothing for a repeated request."""
        original, request = self._unlearns_from(model), REQUESTS[kind]
        unlearner, outcome = self._unlearned(original, request)
        again, _ = self._unlearned(original, request)
        assert outcome.model is unlearner.model, "the outcome holds the model that serves"
        assert torch.isfinite(flat(unlearner.model)).all(), "a parameter is NaN or infinite"
        assert [p.shape for p in unlearner.model.parameters()] == [p.shape for p in original.model.parameters()]
        assert torch.equal(flat(unlearner.model), flat(again.model)), "the same request gives the same bits"
        same = torch.equal(flat(unlearner.model), flat(original.model))
        assert same == (kind in self.unchanged), "parameters must change, unless `unchanged` names the request's kind"
        numbers = [value for value in outcome.diagnostics.values() if isinstance(value, float)]
        assert np.isfinite(numbers).all(), outcome.diagnostics
        if kind != "interactions":
            assert unlearner.unlearn(request, self._instance(unlearner)).diagnostics == {"nothing_to_do": True}

    def test_withdrawn_edges_are_in_no_graph(self, model: str, kind: str) -> None:
        """The graph afterwards has the edges of the retained rows and no other."""
        if not ScoringAdapter.of(original_of(model).model).has_graph:
            pytest.skip(f"{model} has no graph")
        original = self._unlearns_from(model)
        unlearner, _ = self._unlearned(original, REQUESTS[kind])
        rows = original_of(model).dataset.interactions()  # type: ignore[union-attr]
        retained = ~REQUESTS[kind].resolve(rows).forget
        expected = np.unique(rows.pair_keys(rows.users[retained], rows.items[retained]))
        graphs = [module.norm_adj_matrix for module in unlearner.model.modules() if hasattr(module, "norm_adj_matrix")]
        edges = np.concatenate([rows.pair_keys(*_edges(graph, len(rows.user_tokens))) for graph in graphs])
        assert np.array_equal(np.unique(edges), expected)  # RecEraser has a graph per shard, and one that serves

    def test_it_refuses_what_it_cannot_do(self) -> None:
        """For the models of ``refuses`` it says so before it changes anything."""
        for model in self.refuses:
            unlearner = copy_of(original_of(model))
            with pytest.raises(UnsupportedModelError):
                unlearner.unlearn(REQUESTS["users"], self._instance(unlearner))
            assert torch.equal(flat(unlearner.model), flat(original_of(model).model))

    def _unlearns_from(self, model: str) -> Unlearner:
        if model in self.refuses:
            pytest.skip(f"{self.method} refuses {model}, as test_it_refuses_what_it_cannot_do asks")
        return learned_by(self.method, model, tuple(sorted(self.options.items()))) or original_of(model)

    def _unlearned(self, original: Unlearner, request: WithdrawalRequest) -> tuple[Unlearner, Outcome]:
        unlearner = copy_of(original)
        return unlearner, unlearner.unlearn(request, self._instance(unlearner))

    def _instance(self, unlearner: Unlearner) -> Any:
        return instance(self.method, unlearner.config, self.options)


def _edges(graph: Any, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Return user and item ids of a graph's edges: of ours, or of a sparse matrix of all nodes as RecBole has it."""
    if not isinstance(graph, torch.Tensor):
        return graph.pairs
    heads, tails = graph.coalesce().indices().numpy()
    return heads[heads < users], tails[heads < users] - users


def instance(name: str, config: Any, options: dict[str, Any]) -> Any:
    """Return a method with the options of the small config, overridden by these."""
    return find_method(name)(**{**config.method_options(name), **options})


_TINY = {
    "protocol": "paper",
    "epochs": 4,
    "learning_rate": 0.01,
    "train_batch_size": 256,
    "show_progress": False,
    "shard_count": 2,
    "parallel_jobs": 1,
    "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
}
SIZES: dict[str, dict[str, Any]] = {
    "NeuMF": {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [16, 8]},
    "ConvNCF": {"embedding_size": 8, "cnn_channels": [1, 4, 4], "cnn_kernels": [2, 2], "cnn_strides": [2, 2]},
    "NGCF": {"embedding_size": 8, "hidden_size_list": [8, 8]},
    "NNCF": {"ui_embedding_size": 8, "neigh_embedding_size": 4, "neigh_num": 10, "num_conv_kernel": 4},
    "DGCF": {"embedding_size": 8, "n_factors": 2},
    "MultiDAE": {},
    "CKE": {
        "embedding_size": 8,
        "kg_embedding_size": 8,
        "load_col": {
            "inter": ["user_id", "item_id"],
            "kg": ["head_id", "relation_id", "tail_id"],
            "link": ["item_id", "entity_id"],
        },
    },
}


@cache
def original_of(model: str) -> Unlearner:
    """Return a model that was trained on a small data set, once per process; copy it before you change it."""
    with _in_a_folder() as folder:
        write_knowledge(write_inter(Path(folder), "tiny"))
        keys = {**_TINY, **SIZES.get(model, {"embedding_size": 8}), "data_path": folder}
        config = Config(model, "tiny", config_dict=keys, argv=())
        return train_model(config, create_dataset(config))


@cache
def learned_by(method: str, model: str, options: tuple[tuple[str, Any], ...]) -> Unlearner | None:
    """Return what a method learned of its own on the small data set, if it unlearns from that."""
    original = original_of(model)
    assert original.dataset is not None
    with _in_a_folder():
        of_method = instance(method, original.config, dict(options))
        return train_for_method(original.config, original.dataset, of_method, saved=False)


def copy_of(original: Unlearner) -> Unlearner:
    """Return an Unlearner of one's own."""
    return original.copy()


def flat(model: Any) -> torch.Tensor:
    """Return all parameters side by side."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def write_inter(folder: Path, name: str, seed: int = 0, n_users: int = 60, n_items: int = 40) -> Path:
    """Write an atomic file in which the taste of a user (even or odd items) can be learned."""
    rng = np.random.default_rng(seed)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(n_users):
        likes = rng.permutation(np.arange(user % 2, n_items, 2))[: rng.integers(8, 16)]
        noise = rng.permutation(np.arange(1 - user % 2, n_items, 2))[:2]
        for item in np.concatenate([likes, noise]):
            rating = rng.integers(1, 6)
            lines.append(f"u{user}\ti{item}\t{rating}\t{rng.integers(10**9)}")
    path = folder / name / f"{name}.inter"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_knowledge(file: Path) -> None:
    """Write links and facts beside an atomic file: every item but i9 is linked to an entity, of which two facts tell."""
    tokens = {line.split("\t")[1] for line in file.read_text().splitlines()[1:]}
    items = sorted(tokens - {"i9"})
    links = "".join(f"{item}\te{item}\n" for item in items)
    facts = "".join(f"e{item}\tmade.by\tmaker{k % 3}\ne{item}\tis.a\tkind{k % 2}\n" for k, item in enumerate(items))
    file.with_suffix(".link").write_text("item_id:token\tentity_id:token\n" + links)
    file.with_suffix(".kg").write_text("head_id:token\trelation_id:token\ttail_id:token\n" + facts)


@contextlib.contextmanager
def _in_a_folder() -> Any:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield folder
