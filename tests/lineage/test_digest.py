"""The digest of weights: it follows every change, and the way by the tree ends where the way by all numbers does."""

import numpy as np
import pytest
import torch

from recbole_unlearn.lineage import digest
from recbole_unlearn.lineage.digest import BlockTree, weights_digest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


SHAPES = [(), (0,), (1,), (0, 8), (5, 0), (7, 3), (5000,), (100, 64), (9000, 64), (3, 5000), (70, 3, 40), (300_000, 8)]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_ends_where_a_new_tree_does(shape, rng):
    table = rng.normal(size=shape).astype(np.float32)
    tree, root = BlockTree(table), BlockTree(table).root
    if not table.size:
        return
    rows = np.unique(rng.integers(len(table) if shape else 1, size=3))
    flat = table.reshape(len(table) if shape else 1, -1)
    flat[rows] += 1
    tree.update(table, rows)
    assert tree.root == BlockTree(table).root != root
    flat[rows] = flat[rows] * 1  # nothing changes
    tree.update(table, rows)
    assert tree.root == BlockTree(table).root


@pytest.mark.parametrize("shape", [(5000,), (9000, 64), (3, 5000)])
def test_every_number_counts_and_its_place(shape, rng):
    table = rng.normal(size=shape)
    root = BlockTree(table).root
    for place in rng.integers(table.size, size=20):
        other = table.copy()
        other.reshape(-1)[place] += 1
        assert BlockTree(other).root != root
    assert BlockTree(table[::-1]).root != root
    assert BlockTree(table[:-1]).root != root


def test_a_tree_is_no_table_of_its_digests():
    """What is hashed for a block cannot be read as what is hashed for digests."""
    table = np.arange(1 << 13, dtype=np.float32).reshape(-1, 1)
    inner = b"".join(BlockTree(table)._levels[0])
    assert BlockTree(np.frombuffer(inner, dtype=np.uint8)).root != BlockTree(table).root


def test_names_types_and_shapes_count():
    some = {"a": torch.zeros(4), "b": torch.ones(2)}
    others = [
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.zeros(4, dtype=torch.int32), "b": torch.ones(2)},
        {"a": torch.zeros(4)},
        {"a": torch.ones(2), "b": torch.zeros(4)},
    ]
    assert len({weights_digest(state) for state in (some, *others)}) == 6


def test_an_update_reads_the_blocks_of_its_rows_only(monkeypatch, rng):
    table = rng.normal(size=(300_000, 8)).astype(np.float32)
    tree, hashed = BlockTree(table), []
    sha256 = digest.hashlib.sha256
    monkeypatch.setattr(digest.hashlib, "sha256", lambda *given: hashed.append(given) or sha256(*given))
    tree.update(table, np.array([7, 8, 250_000]))
    assert len(hashed) == 2 + 2 + 1  # two blocks, the ways up to the root


def test_weights_that_numpy_has_no_type_for_have_a_digest_that_follows_them():
    table = torch.randn(40, 8).bfloat16()
    one, changed = weights_digest({"t": table}), table.clone()
    changed[7, 3] += 1
    assert one == weights_digest({"t": table.clone()})
    assert one != weights_digest({"t": changed})
    assert one != weights_digest({"t": table.view(torch.int16)})
