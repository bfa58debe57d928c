"""A whole run with models of every kind, under the settings that a user of RecBole trains them with."""

import numpy as np
import pytest

from recbole_unlearn import run_unlearn
from recbole_unlearn.evaluator.text import render
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.testing import write_inter, write_knowledge

ROWS = ["user_id", "item_id", "rating", "timestamp"]
LABELED = {
    "load_col": {"inter": ROWS, "user": ["user_id", "age"]},
    "threshold": {"rating": 3},
    "train_neg_sample_args": None,
    "metrics": ["AUC"],
    "valid_metric": "AUC",
    "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": None, "mode": "labeled"},
}
NEGATIVES = {"distribution": "uniform", "sample_num": 1}
RANKED = {"train_neg_sample_args": NEGATIVES, "load_col": {"inter": ROWS[:2], "user": ["user_id", "age"]}}
SEQUENCES = {
    "load_col": {"inter": ROWS},
    "train_neg_sample_args": None,
    "MAX_ITEM_LIST_LENGTH": 5,
    "hidden_size": 8,
    "n_heads": 1,
    "inner_size": 8,
}
BY_TIME = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "labeled"}
KNOWLEDGE = {
    "load_col": {"inter": ROWS, "kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]},
}
KINDS = {
    "features, labeled rows": ("FM", LABELED),
    "features, all items ranked": ("DeepFM", {**RANKED, "mlp_hidden_size": [8]}),
    "features without embeddings": ("LR", LABELED),
    "sequences": ("SASRec", SEQUENCES),
    "sequences with negatives": (
        "GRU4Rec",
        {**SEQUENCES, "loss_type": "BPR", "train_neg_sample_args": NEGATIVES},
    ),
    "autoencoder": ("MultiVAE", {"train_neg_sample_args": None, "mlp_hidden_size": [8]}),
    "a graph of knowledge": ("CKE", {**KNOWLEDGE, "kg_embedding_size": 8}),
    "a graph of knowledge, by turns": ("KTUP", {**KNOWLEDGE, "train_rec_step": 1, "train_kg_step": 1}),
    "a graph of knowledge, two losses": ("MKR", {**KNOWLEDGE, "kg_embedding_size": 8, "threshold": {"rating": 3}}),
    "a graph of knowledge around each user": ("RippleNet", {**KNOWLEDGE, "n_memory": 4, "threshold": {"rating": 3}}),
    "sequences with drawn ones": (
        "DIEN",
        {**SEQUENCES, **LABELED, "load_col": {"inter": ROWS}, "eval_args": BY_TIME, "mlp_hidden_size": [8]},
    ),
}
WITH_USER_ROWS = ("CKE", "KTUP", "MKR")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_with_figures_of_every_method(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_knowledge(write_inter(tmp_path, "tiny"))
    users = "".join(f"u{n}\t{20 + n % 7}\n" for n in range(1000))
    (tmp_path / "tiny" / "tiny.user").write_text("user_id:token\tage:float\n" + users)
    model, keys = KINDS[kind]
    methods = ["Retrain", "FineTune"] + ([] if model == "MultiVAE" else ["SISA"])
    given = {
        "epochs": 1,
        "embedding_size": 8,
        "methods": methods,
        "shard_count": 2,
        "timing_runs": 1,
        "parallel_jobs": 1,
    }
    config = {"data_path": str(tmp_path), "withdraw_alpha": 10, "show_progress": False, **given, **keys}
    result = run_unlearn(model, "tiny", config_dict=config, saved=False, argv=())
    assert list(result["unlearn"]["methods"]) == ["Original", *methods]
    text = render(result["unlearn"])
    looks = "refit oracle" if model in WITH_USER_ROWS else "score attack"
    assert looks in text.split("P2 efficiency")[0]
    for name in methods:
        figures = result["unlearn"]["methods"][name]
        assert figures["seconds"] > 0
        assert np.isfinite(list(figures["utility"]["retained"].values())).all()


def test_a_model_of_labels_without_labels_is_told_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inter(tmp_path, "tiny")
    keys = {"data_path": str(tmp_path), "epochs": 1, "methods": ["Retrain"], "train_neg_sample_args": None}
    with pytest.raises(
        ConfigError, match=r"has none: make them from a column, such as threshold: \{rating: 4\}, or sample"
    ):
        run_unlearn("LR", "tiny", config_dict=keys, saved=False, argv=())
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
