"""Every kind of trace is found, and none is left after a purge."""

import gzip
import io
import json
import os
import pickle

import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.lineage.audit import audit, purge
from recbole_unlearn.lineage.traces import Wanted, traces_of
from recbole_unlearn.production.contents import as_array, read_content


@pytest.fixture
def wanted():
    return Wanted(WithdrawalRequest.users(["u3"]) | WithdrawalRequest.interactions([("u5", "i4")]))


def kinds(path, wanted):
    return {trace.kind: trace.remedy for trace in traces_of(path, wanted)}


@pytest.fixture
def stock(make_config):
    """Return a stock data set of RecBole before its split, and its dataloaders."""
    from recbole.data.dataset import Dataset

    config = make_config(eval_args={"split": {"RS": [0.6, 0.2, 0.2]}})
    return config, Dataset(config), data_preparation(config, create_dataset(config))


def test_pickled_data_sets_and_dataloaders(stock, wanted, tmp_path):
    _, dataset, loaders = stock
    (tmp_path / "dataset.pth").write_bytes(pickle.dumps(dataset))
    for loader in loaders:
        loader.generator = loader.sampler.generator = None
    (tmp_path / "loaders.pth").write_bytes(pickle.dumps([(loader, None) for loader in loaders]))
    found = list(traces_of(tmp_path / "dataset.pth", wanted))
    rows = sum(
        wanted.names(user, item)
        for user, item in zip(
            dataset.field2id_token["user_id"][dataset.inter_feat["user_id"]],
            dataset.field2id_token["item_id"][dataset.inter_feat["item_id"]],
            strict=True,
        )
    )
    assert [(trace.kind, trace.what) for trace in found] == [
        ("pickled data set or dataloaders", f"{rows} withdrawn rows")
    ]
    assert rows > 9
    assert kinds(tmp_path / "loaders.pth", wanted) == {"pickled data set or dataloaders": "delete"}
    nobody = Wanted(WithdrawalRequest.users(["nobody"]))
    assert kinds(tmp_path / "dataset.pth", nobody) == kinds(tmp_path / "loaders.pth", nobody) == {}


def checkpoint(**keys):
    return {"config": {"model": "LightGCN", "dataset": "tiny"}, "state_dict": {"w": torch.ones(2)}, **keys}


CURRENT = {"lineage": {"ledger": {"count": 3, "head": "x"}, "data": None}}
MOMENTS = {"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}}
CACHES = {"other_parameter": {"restore_user_e": torch.ones(2), "restore_item_e": None}}
CHECKPOINTS = {
    "old": (checkpoint(), {"old model file": "delete"}),
    "current": (checkpoint(**CURRENT), {}),
    "current with moments": (checkpoint(**CURRENT, **MOMENTS), {"optimizer moments": "rewrite"}),
    "current with caches": (checkpoint(**CURRENT, **CACHES), {"graph or cached embeddings": "rewrite"}),
    "stock": (
        checkpoint(**MOMENTS, **CACHES),
        {"old model file": "delete", "optimizer moments": "delete", "graph or cached embeddings": "delete"},
    ),
    "a shard": ({"digest": "x", "state": {"w": torch.ones(2)}, "seconds": 1.0}, {"shard checkpoint": "delete"}),
    "a shard's model": (checkpoint(shard=1), {"shard checkpoint": "delete"}),
    "graph": (
        checkpoint(**CURRENT, other_parameter={"norm_adj_matrix": torch.eye(2).to_sparse()}),
        {"graph or cached embeddings": "rewrite"},
    ),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(name, wanted, tmp_path):
    content, expected = CHECKPOINTS[name]
    wanted.knows = lambda settings, anchor: settings["dataset"] == "tiny" and anchor["count"] >= 3
    torch.save(content, tmp_path / "model.pth")
    assert kinds(tmp_path / "model.pth", wanted) == expected
    for trace in list(traces_of(tmp_path / "model.pth", wanted)):
        purge(trace, wanted)
    assert not list(audit([tmp_path], wanted))
    if "rewrite" in expected.values():
        left = torch.load(tmp_path / "model.pth", weights_only=True)
        assert torch.equal(left["state_dict"]["w"], torch.ones(2))
        assert "optimizer" not in left


TEXTS = {
    "tiny.inter": (
        "user_id:token\titem_id:token\nu1\ti4\nu3\ti1\nu5\ti4\nu5\ti5\n",
        "raw atomic file",
        ["u1", "u5\ti5"],
    ),
    "tiny.user": ("user_id:token\tage:token\nu1\t30\nu3\t40\n", "raw atomic file", ["u1"]),
    "request.csv": ("user_id\nu3\nu8\n", "request file or table", ["u8"]),
    "split.csv": ("item_id,user_id,part\ni1,u3,train\ni1,u4,test\n", "request file or table", ["u4"]),
    "run.log": ("INFO epoch 1\nINFO withdrawn: ['u3']\nINFO done\n", "log or text", ["epoch 1", "done"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name, wanted, tmp_path):
    text, kind, left = TEXTS[name]
    path = tmp_path / name
    path.write_text(text)
    (found,) = traces_of(path, wanted)
    assert found.kind == kind
    assert "rewritten without" in purge(found, wanted)
    assert not list(traces_of(path, wanted))
    assert all(word in path.read_text() for word in left)
    assert "u3" not in path.read_text()


def test_other_files(wanted, tmp_path):
    (tmp_path / "request.json").write_text(json.dumps({"users": ["u3"], "items": [], "interactions": []}))
    (tmp_path / "other.json").write_text(json.dumps({"users": ["u33"], "interactions": [["u5", "i5"]]}))
    (tmp_path / "only.csv").write_text("user_id\nu3\n")
    (tmp_path / "old.inter.gz").write_bytes(gzip.compress(b"user_id:token\titem_id:token\nu3\ti1\n"))
    np.savez(tmp_path / "split.npz", users=np.array(["u1", "u3"]))
    (tmp_path / "noise.bin").write_bytes(b"\0\1\2" * 100)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"user_id\nu3\n" * 100)[:20])
    found = {trace.path.name: (trace.kind, trace.remedy) for trace in audit([tmp_path], wanted)}
    assert found == {
        "request.json": ("request file", "delete"),
        "only.csv": ("request file or table", "rewrite"),
        "old.inter.gz": ("request file or table", "rewrite"),
        "split.npz": ("saved arrays", "delete"),
        "noise.bin": ("binary file", "look"),
        "cut.gz": ("binary file", "look"),
    }
    for trace in list(audit([tmp_path], wanted)):
        purge(trace, wanted)
    assert sorted(os.listdir(tmp_path)) == ["cut.gz", "noise.bin", "other.json"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"users": 943, "items": 1682}', 0),
        ('{"users": null, "interactions": 3}', 0),
        ('{"users": "943"}', 1),
        ('{"users": [943]}', 1),
        ('{"users": [{"id": 943}], "items": []}', 0),
    ],
)
def test_any_json_can_be_read(tmp_path, text, found):
    (tmp_path / "some.json").write_text(text)
    wanted = Wanted(WithdrawalRequest.users(["943"]))
    assert len(list(audit([tmp_path], wanted))) == found


@pytest.mark.parametrize("name", ["code.py", "README.md", "results.jsonl", "settings.yaml", "page.html"])
def test_lines_are_dropped_from_logs_alone(tmp_path, name):
    path = tmp_path / name
    path.write_text('first = 1\nusers = ["196"]\n')
    wanted = Wanted(WithdrawalRequest.users(["196"]))
    (trace,) = audit([tmp_path], wanted)
    assert "look for yourself" in str(trace)
    assert "left alone" in purge(trace, wanted)
    assert path.read_text() == 'first = 1\nusers = ["196"]\n'


def test_version_control_and_environments_are_not_entered(tmp_path):
    for folder in (".git", "env", "lib/site-packages", "mine"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "some.log").write_text("user 196 withdrawn\n")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    wanted = Wanted(WithdrawalRequest.users(["196"]))
    assert [trace.path.parent.name for trace in audit([tmp_path], wanted)] == ["mine"]


def test_bare_numbers_count_only_where_they_are_tokens(tmp_path):
    wanted = Wanted(WithdrawalRequest.users(["196"]))
    (tmp_path / "a.log").write_text("epoch 196 took 196 s\n")
    (tmp_path / "b.log").write_text("user 196 withdrawn\n")
    assert [trace.path.name for trace in audit([tmp_path], wanted)] == ["b.log"]


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_nothing_in_a_pickle_runs(how, wanted, tmp_path):
    path = tmp_path / "hostile.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": Hostile()}))
    else:
        torch.save({"state_dict": Hostile()}, path)
    assert "mkdir" in repr(read_content(path)["state_dict"])
    assert kinds(path, wanted)["pickle"] == "look"
    assert not os.path.exists("owned")


def test_code_hidden_in_a_tensor_does_not_run(tmp_path):
    class Tensor:
        def __reduce__(self):
            inner = io.BytesIO()
            torch.save(Hostile(), inner)
            return torch.storage._load_from_bytes, (inner.getvalue(),)

    (tmp_path / "nested.pth").write_bytes(pickle.dumps(Tensor()))
    assert as_array(read_content(tmp_path / "nested.pth")) is None
    assert not os.path.exists("owned")


def test_the_command_lists_purges_and_ends_clean(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run.log").write_text("withdrawing user u3\n")
    (tmp_path / "r.csv").write_text("user_id\nu3\n")
    command = ["--audit=runs", "--withdraw=r.csv"]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "run.log: log or text: 1 lines name withdrawn tokens; rewrite it" in out
    assert "r.csv: request file" in out
    assert "2 traces in 2 files" in out
    assert main([*command, "--purge=True"]) == 1
    assert "r.csv: deleted" in capsys.readouterr().out
    (tmp_path / "r.csv").write_text("user_id\nu3\n")
    (tmp_path / "elsewhere.csv").write_text("user_id\nu3\n")
    assert main(["--audit=runs", "--withdraw=elsewhere.csv"]) == 1
    assert "1 traces in 1 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audit=."], "needs --withdraw=FILE"),
        (["--audit=nowhere", "--withdraw=r.csv"], "does not exist"),
        (["--audit=.", "--withdraw=none.csv"], "does not exist"),
        (["--audit=.", "--withdraw=r.csv", "--prune=True"], "takes no --prune"),
        (["--audit=.", "--verify=ledger"], "jobs of their own"),
        (["--verify=nowhere"], "no ledger in"),
    ],
)
def test_bad_commands(arguments, message, tmp_path, capsys):
    (tmp_path / "r.csv").write_text("user_id\nu3\n")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
