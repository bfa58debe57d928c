"""The script that asks each model what it allows, on a few; and the page that it writes."""

import pytest

from benchmarks.measure import models
from benchmarks.pages import models as page
from benchmarks.pages.records import ROOT

ALLOWED = {
    "BPR": set(models.METHODS) - {"Exact"},
    "CKE": set(models.METHODS) - {"Exact", "RetrainSVD"},
    "EASE": {"Retrain", "SISA", "Exact"},
}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_sample_of_models_allows_what_the_page_says(tmp_path, monkeypatch, name):
    models.write_part(tmp_path, 15)
    monkeypatch.chdir(tmp_path)
    *_, found = models.measure(name, tmp_path)
    outcomes = found["methods"]
    assert {method for method, outcome in outcomes.items() if "seconds" in outcome} == ALLOWED[name], outcomes
    assert all(outcome["refused"] for method, outcome in outcomes.items() if method not in ALLOWED[name])


@pytest.mark.parametrize("name", ["RaCT", "LightGBM"])
def test_a_model_of_another_kind_says_why_not(tmp_path, monkeypatch, name):
    models.write_part(tmp_path, 15)
    monkeypatch.chdir(tmp_path)
    *_, found = models.measure(name, tmp_path)
    assert found.get("refused") or found.get("failed")


def test_the_page_is_what_the_script_measured():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert page.table(page.parts()) in text
    assert page.reasons(page.parts()) in text
    assert page.sequential() in text
    assert page.exact() in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


def test_every_model_of_recbole_is_asked():
    names = models.every_model()
    assert {"BPR", "SASRec", "DeepFM", "KGAT", "EASE"} <= set(names)
    assert len(names) == len(set(names)) > 85
