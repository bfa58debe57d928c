"""The audit in a run, in a grid's cell and on the page."""

import json
from pathlib import Path

import pytest

from recbole_unlearn import run_unlearn
from recbole_unlearn.benchmark.runner import run_benchmark
from recbole_unlearn.evaluator.page import render_page
from recbole_unlearn.evaluator.text import render
from recbole_unlearn.exceptions import ConfigError


@pytest.fixture
def keys(data_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [16, 8], "train_batch_size": 256}
    return {
        "data_path": data_path,
        "methods": ["Retrain", "SCIF"],
        "epochs": 2,
        "seed": 7,
        "parallel_jobs": 1,
        "show_progress": False,
        "mio_protocols": ["refit"],
        "witnesses": [],
        "timing_runs": 1,
        "ledger_dir": "ledger",
        **sizes,
    }


def test_a_run_reports_the_audit_and_the_page_shows_risk_per_person(keys):
    report = run_unlearn("NeuMF", "tiny", config_dict={**keys, "shadows": 9, "report_html": True}, argv=())["unlearn"]
    audit = report["shadows"]
    assert {"Original", "Retrain", "SCIF"} == audit["methods"].keys()
    assert audit["methods"]["SCIF"]["worlds"] == 9
    assert json.loads(Path("output/report.json").read_text())["shadows"] == audit
    text = render(report)
    assert f"Shadow audit, 9 worlds, {audit['targets']} people" in text
    assert "SCIF in 9 worlds: served 0." in text or "SCIF in 9 worlds: served 1." in text
    page = Path("output/report.html").read_text()
    assert page.count("Shadow audit: risk per person") >= 2
    assert 'id="risk-refit-title"' in page
    assert len(list(Path("saved").glob("shadows-*"))) == 1
    del report["shadows"]
    assert "Shadow audit" not in render_page(report)


@pytest.mark.parametrize(
    ("given", "match"),
    [({"shadows": 9, "withdraw_scope": "all"}, "takes scope train alone"), ({"shadows": 6}, "9 or more worlds")],
)
def test_what_cannot_be_audited_is_refused_before_anything_is_written(keys, given, match):
    with pytest.raises(ConfigError, match=match):
        run_unlearn("NeuMF", "tiny", config_dict={**keys, **given}, argv=())
    assert not Path("saved").exists()


def test_a_cell_of_a_grid_has_the_audit(keys, tmp_path):
    config = {name: value for name, value in keys.items() if name not in ("methods", "seed", "parallel_jobs")}
    grid = {"methods": ["Retrain", "SCIF"], "datasets": ["tiny"], "seeds": [7], "config": {**config, "shadows": 9}}
    path = tmp_path / "grid.yaml"
    path.write_text(json.dumps(grid))
    assert run_benchmark(str(path)) == 0
    line = json.loads((tmp_path / "results" / "grid.jsonl").read_text())
    assert line["shadows"]["methods"]["SCIF"]["worlds"] == 9
