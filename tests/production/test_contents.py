"""What honest files hold is read as it was written: arrays, tables, tensors, data sets and models."""

import collections
import io
import pickle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.lineage.digest import weights_digest as digest_of_torch
from recbole_unlearn.production.contents import (
    as_array,
    as_dict,
    as_list,
    as_table,
    plain,
    read_content,
    unknown_names,
)
from recbole_unlearn.production.inert import read_pickle
from recbole_unlearn.production.stand_ins import StandIn, walk
from recbole_unlearn.production.torch_files import as_tensor, read_torch, tensors, weights_digests
from recbole_unlearn.production.trace import NotInspected
from recbole_unlearn.production.workers import look_into
from tests.production import inspectors

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "texts": np.array(["a", "bcd", "é"]),
    "bytes": np.array([b"xy", b"z"]),
    "objects": np.array(["a", None, ("x", 2)], dtype=object),
    "big-endian": np.array([1, 2], dtype=">i4"),
    "times": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "times of 25 s": np.array(["2020-01-01"], dtype="M8[25s]"),
    "records": np.array([(1, 2.5, "x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U3")]),
    "arrays in records": np.ones(3, dtype=[("s", "f4", (2, 2))]),
    "none": np.zeros((0, 3)),
    "no dimension": np.array(5),
    "truths": np.array([True, False]),
    "complex": np.array([1 + 2j]),
}


def pickled(thing, protocol=4):
    return read_pickle(io.BytesIO(pickle.dumps(thing, protocol)))


def same(found, array):
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, protocol):
    same(as_array(pickled(ARRAYS[name], protocol)), ARRAYS[name])


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_numpy_1_and_2(name):
    data = pickle.dumps(ARRAYS[name], 0)
    for core in (b"numpy.core", b"numpy._core"):
        other = data.replace(b"numpy._core", core).replace(b"numpy.core", core)
        same(as_array(read_pickle(io.BytesIO(other))), ARRAYS[name])


@pytest.mark.parametrize("packed", [0, 3, ("zlib", 1), ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1)])
def test_joblib(packed, tmp_path):
    frame = pd.DataFrame({"user_id": ["u1", "u2"], "rating": [1.0, 2.0]})
    joblib.dump({**ARRAYS, "frame": frame, "last": 7}, tmp_path / "x", compress=packed)
    content = read_content(tmp_path / "x")
    for name, array in ARRAYS.items():
        same(as_array(content[name]), array)
    assert {name: list(values) for name, values in as_table(content["frame"]).items()} == frame.to_dict("list")
    assert content["last"] == 7


@pytest.mark.parametrize("name", ARRAYS)
def test_npy(name, tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS[name])
    same(as_array(read_content(tmp_path / "x.npy")), ARRAYS[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("texts", ["objects", "of pandas 3"])
def test_tables(protocol, texts):
    with pd.option_context("future.infer_string", texts == "of pandas 3"):
        frame = pd.DataFrame(
            {
                "user_id": ["u1", "u2", "u1"],
                "item_id": pd.Categorical(["i1", None, "i2"]),
                "rating": [1.0, 2.0, 3.5],
                "number": [1, 2, 3],
                "maybe": pd.array([1, None, 3], dtype="Int64"),
                "time": pd.to_datetime(["2020-01-01"] * 3),
                "text": pd.array(["a", "b", "c"], dtype="string"),
            },
            index=[5, 6, 7],
        )
        data = pickle.dumps([frame, frame["user_id"], frame["number"], frame.index, pd.RangeIndex(3)], protocol)
    whole, users, numbers, index, rows = read_pickle(io.BytesIO(data))
    found = as_table(whole)
    assert list(found) == list(frame)
    for name in ("user_id", "rating", "number", "text"):
        assert found[name].tolist() == frame[name].tolist()
    assert found["item_id"].tolist() == ["i1", None, "i2"]
    assert found["maybe"].tolist() == [1, None, 3]
    assert (found["time"] == frame["time"].to_numpy()).all()
    assert as_array(users).tolist() == ["u1", "u2", "u1"]
    assert as_table(numbers)["number"].tolist() == [1, 2, 3]
    assert as_array(index).tolist() == [5, 6, 7]
    assert as_array(rows).tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers(protocol):
    shared = [1]
    things = [
        collections.OrderedDict(a=1, b=shared),
        collections.Counter("aab"),
        collections.defaultdict(list, {"x": [2]}),
        {"k": (1, None, True, 2.5, -(1 << 70), "é\n", b"\xff")},
    ]
    found = pickled([*things, collections.deque("ab", 5), {3}, frozenset({4}), shared, bytearray(b"x")], protocol)
    assert [as_dict(one) for one in found[:4]] == [dict(thing) for thing in things]
    assert [as_list(one) for one in found[4:8]] == [["a", "b"], [3], [4], [1]]
    assert as_dict(found[0])["b"] is found[7]


def test_numbers_and_texts_of_numpy_are_values():
    found = pickled({np.str_("user_id"): np.array([np.str_("u1")], dtype=object), "n": np.float32(0.5)})
    assert as_array(found["user_id"]).tolist() == ["u1"]
    assert found["n"] == 0.5
    assert plain(found["user_id"]).tolist() == ["u1"]


STATE = {
    "rows": torch.arange(12.0).reshape(3, 4),
    "turned": torch.arange(12.0).reshape(3, 4).t(),
    "part": torch.arange(10)[3:8:2],
    "expanded": torch.ones(1).expand(5),
    "none": torch.zeros(0, 4),
    "one": torch.tensor(2.0),
    "half": torch.ones(2).half(),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "truth": torch.tensor([True, False]),
    "complex": torch.ones(2, dtype=torch.complex64),
    "short": torch.ones(3).to(torch.uint16),
}


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_tensors(how, tmp_path):
    path = tmp_path / "model.pth"
    content = {"state": collections.OrderedDict(STATE), "b": torch.tensor([1.5, -2.0]).bfloat16(), "n": [torch.ones(2)]}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    found = read_content(path)
    state = as_dict(found["state"])
    assert list(state) == list(STATE)
    for name, tensor in STATE.items():
        same(as_array(state[name]), tensor.detach().numpy())
    assert weights_digests(state)[0] == digest_of_torch(STATE)
    assert as_array(found["b"]).tolist() == [1.5, -2.0]
    assert as_tensor(found["b"]).dtype == "bfloat16"
    assert sorted(tensors(found)) == sorted(
        (str(one.dtype), tuple(one.shape)) for one in [*STATE.values(), content["b"], content["n"][0]]
    )


def test_values_are_read_when_they_are_asked_for(tmp_path):
    torch.save({"w": torch.zeros(1 << 16)}, tmp_path / "m.pth")
    data = bytearray((tmp_path / "m.pth").read_bytes())
    place = data.index(bytes(1000)) + 500
    data[place] = 1
    (tmp_path / "m.pth").write_bytes(bytes(data))
    content = read_torch(tmp_path / "m.pth")
    assert list(tensors(content)) == [("torch.float32", (1 << 16,))]
    with pytest.raises(NotInspected, match="damaged"):
        as_array(content["w"])


def columns_of(dataset):
    """Return the tokens of the users and items of a pickled data set."""
    told = as_dict(dataset)
    rows, tokens = as_table(told["inter_feat"]), as_dict(told["field2id_token"])
    return [as_array(tokens[told[field]])[rows[told[field]]].tolist() for field in ("uid_field", "iid_field")]


def test_data_sets_and_dataloaders(make_config):
    from recbole.data.dataset import Dataset

    config = make_config(eval_args={"split": {"RS": [0.6, 0.2, 0.2]}})
    dataset, loaders = Dataset(config), data_preparation(config, create_dataset(config))
    for loader in loaders:
        loader.generator = loader.sampler.generator = None
    for protocol in (2, 4, 5):
        sets = [pickled(dataset, protocol), *(as_dict(one)["_dataset"] for one in pickled(loaders, protocol))]
        for found, own in zip(sets, [dataset, *(loader._dataset for loader in loaders)], strict=True):
            assert columns_of(found) == [
                list(own.field2id_token[field][np.asarray(own.inter_feat[field])]) for field in ("user_id", "item_id")
            ]


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN"])
def test_checkpoints_of_stock_recbole(stock, model):
    path = stock[0] / "saved" / f"{model}.pth"
    own = torch.load(path, weights_only=False, map_location="cpu")
    found = read_torch(path)
    assert weights_digests(as_dict(found["state_dict"]))[0] == digest_of_torch(own["state_dict"])
    settings = as_dict(as_dict(found["config"])["final_config_dict"])
    assert settings["dataset"] == "tiny"
    assert settings["epochs"] == own["config"]["epochs"] == 2
    assert found["epoch"] == own["epoch"]
    moments = as_dict(as_dict(found["optimizer"])["state"])
    for number, state in own["optimizer"]["state"].items():
        same(as_array(as_dict(moments[number])["exp_avg"]), state["exp_avg"].numpy())
    assert unknown_names(found) == []


def test_checkpoints_of_ours(fresh_copy, tmp_path):
    fresh_copy.save(tmp_path / "model.pth")
    found = read_torch(tmp_path / "model.pth")
    assert weights_digests(as_dict(found["state_dict"]))[0] == digest_of_torch(fresh_copy.model.state_dict())
    assert not [thing for thing in walk(found) if isinstance(thing, StandIn) and thing.stands_for.startswith("recbole")]
    (looked,) = look_into([tmp_path / "model.pth"], inspectors.describe)
    assert looked.reason is None
    assert looked.found["torch"] is False


def test_what_is_no_tensor_has_no_digest(tmp_path):
    torch.save({"a": 1}, tmp_path / "x.pth")
    with pytest.raises(NotInspected, match="something else than tensors"):
        weights_digests(read_torch(tmp_path / "x.pth"))


def test_names_that_no_model_is_made_of_are_told():
    assert unknown_names(pickled([Path, print, np.arange(2), torch.float32])) == ["builtins.print"]
