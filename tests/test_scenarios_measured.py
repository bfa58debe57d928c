"""The benchmark of scenarios: what it plants, what it counts, and a small run of all of it."""

import numpy as np
import pytest

from benchmarks.measure import scenarios
from benchmarks.measure.scenarios import FILLERS, PUSHED, mean_place, plant, shown_share
from recbole_unlearn.testing import write_inter

SIZES = {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8], "epochs": 1, "show_progress": False}


@pytest.fixture
def files(tmp_path):
    inter = write_inter(tmp_path / "data", "tiny")
    rare = "".join(f"u{k}\trare{k % 6}\t3\t{k}\n" for k in range(12))
    inter.write_text(inter.read_text() + rare)
    inter.with_suffix(".item").write_text("item_id:token\tclass:token_seq\ni1\tHorror\ni2\tDrama\n")
    return inter


def test_what_is_planted(files, make_config, tmp_path):
    config = make_config(data_path="data")
    pushed, keys = plant(config, tmp_path, 1)
    assert set(pushed) <= {f"rare{k}" for k in range(6)}
    lines = (tmp_path / "planted/planted.inter").read_text().splitlines()
    before = files.read_text().splitlines()
    assert lines[: len(before)] == before
    added = [line.split("\t") for line in lines[len(before) :]]
    assert {user for user, *_ in added} == {"spam 0", "spam 1", "spam 2"}  # 5 % of 60
    assert len(added) == 3 * (PUSHED + FILLERS)
    for user in ("spam 0", "spam 1", "spam 2"):
        items = [item for owner, item, *_ in added if owner == user]
        assert items[:PUSHED] == pushed
        assert len(set(items)) == len(items)
    labels = (tmp_path / "planted/planted.user").read_text().splitlines()
    assert labels[0] == "user_id:token\tspammer:token"
    assert [line for line in labels if line.endswith("\t1")] == ["spam 0\t1", "spam 1\t1", "spam 2\t1"]
    assert len(labels) == 1 + 60 + 3
    assert keys["load_col"]["inter"] == ["user_id", "item_id", "rating", "timestamp"]
    assert plant(config, tmp_path, 1)[0] == pushed


def test_lists_that_show_an_item_and_its_place():
    top = np.array([[1, 2], [3, 4], [5, 1]])
    assert shown_share(top, [1, 4, 9]) == 1
    assert shown_share(top, [1]) == pytest.approx(2 / 3)
    scores = np.array([[0.1, 0.2, 0.3, 0.0], [0.3, 0.2, 0.1, 0.0]])  # of the items 1 to 4
    assert mean_place(scores, np.array([3])) == pytest.approx((3 / 3 + 1 / 3) / 2)
    assert mean_place(scores, np.array([4])) == 0


def test_a_small_run(files):
    keys = {"data_path": "data", "methods": "Retrain,SCIF", **SIZES}
    line = scenarios.run("NeuMF", "tiny", 1, keys)
    assert set(line) == {"model", "dataset", "seed", "scenarios", "commit"}
    found = line["scenarios"]
    assert list(found) == ["spam", "sensitive", "core", "edge"]
    assert [(one["users"], one["items"]) for one in found.values()] == [(3, 0), (0, 1), (3, 0), (3, 0)]
    assert found["core"]["rows"] > found["edge"]["rows"]
    for name, one in found.items():
        assert list(one["methods"]) == ["Original", "Retrain", "SCIF"]
        for told in one["methods"].values():
            assert 0 < told["ndcg"] < 1
            assert ("shown" in told) == (name in ("spam", "sensitive"))
    spam = found["spam"]["methods"]
    assert 0 <= spam["Original"]["place"] <= 1
    assert spam["SCIF"]["place"] == spam["Original"]["place"], "SCIF moves no item, nor a user who stays"
    assert spam["SCIF"]["ndcg"] == spam["Original"]["ndcg"]
