"""Whatever stands in a request file or a checkpoint: it is used, or refused with a named error; never a traceback."""

import gzip
import json
import os
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.checkpoints.load import load_for_withdrawal
from recbole_unlearn.checkpoints.model_file import anchor_of, read_model_file
from recbole_unlearn.checkpoints.state import model_state
from recbole_unlearn.cli import main
from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.exceptions import InputError
from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED
from recbole_unlearn.production.wanted import Wanted

QUIET: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}

tokens = st.one_of(
    st.sampled_from(["u1", "u2", "i1", "user_id", "NaN", "", " ", "[PAD]"]), st.text(max_size=6), st.integers()
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), tokens),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["users", "items", "interactions", "sample", "kind", "alpha", "seed", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
tables = st.builds(
    lambda header, rows, sep: sep.join(header) + "\n" + "\n".join(sep.join(map(str, row)) for row in rows),
    st.lists(st.sampled_from(["user_id", "item_id", "user_id:token", "rating", "usr_id", ""]), max_size=3),
    st.lists(st.lists(tokens, max_size=3), max_size=4),
    st.sampled_from([",", "\t", ";"]),
)
requests = st.one_of(
    st.binary(max_size=200),
    tables.map(lambda text: text.encode("utf-8", "replace")),
    values.map(lambda value: json.dumps(value).encode()),
    tables.map(lambda text: gzip.compress(text.encode("utf-8", "replace"))[:30]),
    tables.map(lambda text: text.encode("utf-16", "replace")),
)


@given(content=requests, suffix=st.sampled_from([".csv", ".json", ".inter"]))
@settings(max_examples=700, **QUIET)
def test_request_files(content, suffix, trained):
    path = f"request{suffix}"
    with open(path, "wb") as file:
        file.write(content)
    try:
        request = WithdrawalRequest.from_file(path)
        request.resolve(trained.dataset.interactions(), "all")
    except InputError:
        pass


pieces = st.one_of(
    values,
    st.sampled_from([{}, [], 0, "NeuMF", torch.ones(3), {"w": torch.ones(2)}, {1: torch.ones(2)}, np.float64(3)]),
)
PATHS = [
    ("config",),
    ("state_dict",),
    ("other_parameter",),
    ("lineage",),
    ("config", "model"),
    ("config", "dataset"),
    ("config", "data_path"),
    ("config", "seed"),
    ("config", "eval_args"),
    ("config", "mf_embedding_size"),
    ("config", "mlp_hidden_size"),
    ("config", "train_neg_sample_args"),
    ("config", "load_col"),
    ("config", "field_separator"),
    ("config", "USER_ID_FIELD"),
    ("lineage", "ledger"),
    ("lineage", "data"),
    ("lineage", "ledger", "count"),
    ("state_dict", "user_mf_embedding.weight"),
]


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """Return the bytes of a checkpoint, and its content."""
    path = tmp_path_factory.mktemp("whole") / "model.pth"
    state = model_state(trained)
    torch.save(state, path)
    return path.read_bytes(), state


def load(path, full):
    try:
        checkpoint, _ = read_model_file(path, {})
        anchor_of(checkpoint)
        if full:
            with LedgerSession() as session:
                load_for_withdrawal(path, {}, session)
    except InputError:
        pass


@given(seed=st.integers(0, 2**32), cut=st.booleans())
@settings(max_examples=200, **QUIET)
def test_damaged_checkpoints(seed, cut, whole):
    rng, content = random.Random(seed), bytearray(whole[0])
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    with open("model.pth", "wb") as file:
        file.write(content[: rng.randrange(len(content))] if cut else content)
    load("model.pth", full=False)


@given(path=st.sampled_from(PATHS), value=pieces)
@settings(max_examples=120, **QUIET)
def test_checkpoints_of_strange_content(path, value, whole):
    state = {**whole[1], "config": dict(whole[1]["config"]), "state_dict": dict(whole[1]["state_dict"])}
    state["lineage"] = {**state["lineage"], "ledger": dict(state["lineage"]["ledger"])}
    *way, last = path
    place = state
    for name in way:
        place = place[name]
    place[last] = value
    torch.save(state, "model.pth")
    before = sorted(os.listdir())
    load("model.pth", full=True)
    assert sorted(os.listdir()) == before


@given(content=requests)
@settings(max_examples=200, **QUIET)
def test_the_audit_reads_anything(content):
    for trace in inspect("found.bin", content, len(content), Wanted.from_spec({"users": ["u1"]})):
        assert trace.group in (MUST_FIX, CHECK, NOT_INSPECTED)


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_ten_megabytes_of_garbage(suffix, capsys):
    with open(f"big.{suffix}", "wb") as file:
        file.write(random.Random(1).randbytes(10_000_000))
    assert main([f"--withdraw=big.{suffix}", "--dataset=ml-100k"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
