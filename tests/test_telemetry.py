"""What a run tells while it goes on."""

import builtins
import json
from pathlib import Path

import pytest

from recbole_unlearn.cli import main
from recbole_unlearn.compare.telemetry import Telemetry, check_wandb
from recbole_unlearn.exceptions import ConfigError

QUICK = [
    "--epochs=1",
    "--mf_embedding_size=8",
    "--mlp_embedding_size=8",
    "--mlp_hidden_size=[8]",
    "--methods=ResetUE,SCIF",
]


@pytest.fixture
def arguments(data_path):
    return [
        "--dataset=tiny",
        f"--data_path={data_path}",
        "--mio_protocols=strong",
        "--alpha=10",
        "--witnesses=[]",
        *QUICK,
    ]


def test_scalars_hold_the_figures_of_the_report(arguments, capfd):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*arguments, "--show_progress=True"]) == 0
    assert "Unlearn" in capfd.readouterr().err  # the bar
    report = json.loads(Path("output/report.json").read_text())
    found = {}
    for folder in Path("log_tensorboard").iterdir():
        events = EventAccumulator(str(folder)).Reload()
        found |= {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"] if tag.startswith("Unlearn/")}
    for name in ("ResetUE", "SCIF"):
        result = report["methods"][name]
        figures = {
            "auc_strong": result["mio"]["strong"]["auc"],
            "ndcg@10_retained": result["utility"]["retained"]["ndcg@10"],
            "ndcg@10_withdrawn": result["utility"]["withdrawn"]["ndcg@10"],
            "seconds": result["seconds"],
        }
        for figure, value in figures.items():
            assert found[f"Unlearn/{figure}/{name}"] == pytest.approx(value, rel=1e-6)  # tensorboard holds float32
    assert "Unlearn/auc_strong/Original" in found
    assert "Unlearn/seconds/Original" not in found


class Recorded:
    def __init__(self):
        self.told = {}

    def log_metrics(self, metrics, head):
        self.told |= {f"{head}/{name}": value for name, value in metrics.items()}


class Scalars:
    def add_scalar(self, name, value):
        pass

    def flush(self):
        pass


def test_wandb_is_told_the_same(trained):
    trained.config["log_wandb"] = True
    try:
        telemetry = Telemetry(trained)
        telemetry.wandb, telemetry.writer = Recorded(), Scalars()
        telemetry.log("SCIF", {"mio": {"strong": {"auc": 0.5}}, "utility": {}, "seconds": 2.0})
    finally:
        trained.config["log_wandb"] = False
    assert telemetry.wandb.told == {"Unlearn/auc_strong/SCIF": 0.5, "Unlearn/seconds/SCIF": 2.0}


def test_wandb_offline(arguments, capfd, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'recbole-unlearn[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    try:
        assert main([*arguments, "--log_wandb=True", "--wandb_project=unlearn"]) == 0
        summary = dict(wandb.run.summary)
    finally:
        wandb.finish()
    report = json.loads(Path("output/report.json").read_text())
    assert summary["Unlearn/auc_strong/SCIF"] == pytest.approx(report["methods"]["SCIF"]["mio"]["strong"]["auc"])
    assert list(Path("wandb").glob("offline-run-*"))


def test_wandb_that_is_missing_is_refused_at_once(monkeypatch):
    real = builtins.__import__

    def without_wandb(name, *rest):
        if name == "wandb":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_wandb)
    check_wandb({"log_wandb": False})
    with pytest.raises(ConfigError, match=r"recbole-unlearn\[wandb\]"):
        check_wandb({"log_wandb": True})
