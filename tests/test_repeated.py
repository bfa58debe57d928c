"""What is said of lines that were measured again."""

import json

from benchmarks.measure.repeat import moved
from benchmarks.pages.repeated import moves


def test_how_far_figures_moved():
    old = {"mio": {"refit": {"auc": 0.5}, "strong": {"auc": 0.75}}, "ndcg": 0.25}
    new = {"mio": {"refit": {"auc": 0.75}}, "ndcg": 0.125}
    assert moved(old, new) == {"refit": 0.25, "ndcg@10": -0.125}


def test_the_table_says_setting_commits_and_each_method(tmp_path):
    assert moves(tmp_path) == []
    line = {"model": "BPR", "dataset": "tiny", "seed": 3, "of": "a" * 12, "commit": "b" * 12}
    line["moved"] = {"Retrain": {"refit": 0.0123, "ndcg@10": -0.0004}}
    (tmp_path / "repeat-BPR-tiny.jsonl").write_text(json.dumps(line) + "\n")
    text, table = moves(tmp_path)
    assert "measured again" in text
    assert "| BPR, tiny | 3 | aaaaaaa, bbbbbbb | Retrain | +0.012 |  | -0.000 |" in table
