"""The scripts that write docs/results.md, on lines made by hand."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("records", "claims", "paper_figures", "paper_tables")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: __import__(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


def result(auc, ndcg, seconds=None, speedup=None, withdrawn=0.2):
    groups = {name: {"ndcg@10": ndcg, "hit@10": ndcg} for name in ("retained", "all")}
    taste = {"mean": withdrawn - 0.2, "low": withdrawn - 0.25, "high": withdrawn - 0.15}
    return {
        "utility": {**groups, "withdrawn": {"ndcg@10": withdrawn}},
        "mio": {"strong": {"auc": auc, "acc": auc}},
        "seconds": seconds,
        "speedup": speedup,
        "witnesses": {"taste": taste},
    }


def line(seed, scif=0.505, dataset="ml-1m", withdrawn=0.2):
    return {
        "cell": {"dataset": dataset, "model": "NeuMF", "seed": seed, "request": "rand@5"},
        "environment": {"python": "3.11", "torch": "2", "recbole": "1.2.1", "numpy": "2", "scipy": "1"},
        "provenance": {"commit": "abc", "source": "def", "config": "ghi"},
        "references": {"popularity": {"withdrawn": {"ndcg@10": 0.2}}},
        "methods": {
            "Original": result(0.8, 0.5),
            "Retrain": result(0.5, 0.5, 100.0, 1.0),
            "IF": result(0.53, 0.45, 10.0, 10.0),
            "SIF": result(0.5, 0.4, 0.1, 1000.0),
            "CIF": result(0.52, 0.46, 10.0, 10.0),
            "SCIF": result(scif, 0.5, 1.0, 100.0, withdrawn),
        },
    }


def test_records_stand_beside_their_own_retrain(scripts):
    rows = scripts["records"].records([line(1), line(1, scif=0.9), line(2)])
    assert len(rows) == 12  # the second line of the same cell does not count
    scif = next(row for row in rows if row["method"] == "SCIF")
    assert scif["strong_gap"] == pytest.approx(0.005)
    assert scif["strong_way"] == pytest.approx(0.295 / 0.3)
    assert scif["ndcg@10_share"] == 1
    assert scif["withdrawn_share"] == 1
    assert scif["ndcg@5"] is None


def test_what_shards_learned_is_their_own_learn_row(scripts):
    """RecEraser's way is measured from its own ensemble, not from the whole model."""
    content = line(1)
    content["methods"]["RecEraser"] = {**result(0.52, 0.43, 50.0, 2.0), "original": result(0.7, 0.44)}
    rows = {row["method"]: row for row in scripts["records"].records([content])}
    assert rows["RecEraser"]["strong_way"] == pytest.approx(0.18 / 0.2)
    assert rows["RecEraser, learned"]["strong_auc"] == 0.7
    assert scripts["paper_tables"].stage("rand@5", "RecEraser, learned") == ("learn", "RecEraser")
    assert scripts["paper_tables"].stage("rand@5", "Original") == ("learn", "Retrain")
    assert scripts["paper_tables"].stage("rand@5", "SCIF-paper") == ("rand@5", "SCIF-paper")


def test_verdicts_are_computed(scripts):
    def verdict(lines, what):
        rows = scripts["records"].records(lines)
        found = [claim for claim in scripts["claims"].claims(rows, [], rows) if claim.what.startswith(what)]
        assert len(found) == 1, what
        return found[0]

    good, bad = [line(1), line(2)], [line(1, scif=0.58), line(2, scif=0.53, withdrawn=0.3)]
    assert verdict(good, "SCIF, rand@5: AUC").holds is True
    assert verdict(bad, "SCIF, rand@5: AUC").holds is False
    assert verdict(bad, "SCIF, rand@5: AUC").here.startswith("0.055 ± 0.035")
    assert verdict(good, "SCIF, rand@2.5: AUC").holds is None
    assert verdict(good, "IF, rand@5: AUC").holds is False
    assert verdict(good, "IF, rand@5: at least").holds is False  # .45 of .5
    assert verdict(good, "IF, rand@5: at least").paper == "0.854"  # .4487 over .5256
    assert verdict(good, "SCIF serves").holds is True
    assert verdict([line(1, withdrawn=0.3)], "SCIF serves").holds is False
    assert verdict([line(1, withdrawn=0.15)], "SCIF serves").holds is False
    assert verdict(good, "Figure 8: all AUC").holds is True
    assert verdict([line(1, scif=0.585)], "Figure 8: all AUC").holds is False
    assert verdict(good, "Figure 8: CIF above").holds is True
    assert verdict(good, "SCIF costs the other users nothing").holds is True
    assert verdict(good, "Figure 7: SCIF").holds is True
    assert verdict(good, "Figure 7: RecEraser").verdict == "not measured"
    assert verdict(good, "the strong oracle sees").holds is True


def test_gaps_of_both_signs_do_not_hide(scripts):
    """The mean over seeds of signed gaps decides, and the spread stands beside it."""
    rows = scripts["records"].records([line(1, scif=0.52), line(2, scif=0.48)])
    claim = next(c for c in scripts["claims"].claims(rows, [], rows) if c.what.startswith("SCIF, rand@5: AUC"))
    assert claim.holds is True
    assert claim.here.startswith(("0.000 ± 0.028", "-0.000 ± 0.028"))


def test_figure_3_needs_the_withdrawn_users_to_move_most(scripts):
    def cka(withdrawn):
        figures = {"users_withdrawn": withdrawn, "users_retained": 0.9, "items": 1.0}
        parts = {name: {"relative_debiased": value} for name, value in figures.items()}
        return {"model": "NeuMF", "dataset": "ml-100k", "cell": {"request": "rand@5"}, "cka": {"RetrainAgain": parts}}

    assert [claim.holds for claim in scripts["claims"].selective([cka(0.2), cka(0.95)])] == [True, False]


def test_the_page_is_written_whole(scripts, tmp_path, monkeypatch):
    results = tmp_path / "results"
    results.mkdir()
    (results / "paper.jsonl").write_text("".join(json.dumps(line(seed)) + "\n" for seed in (1, 2)) + '{"torn": ')
    read = scripts["records"].read_lines
    monkeypatch.setattr(scripts["paper_tables"], "read_lines", lambda name: read(name, results))
    page = tmp_path / "docs" / "results.md"
    scripts["paper_tables"].main(page)
    text = page.read_text()
    assert "| rand@5    | SCIF     | 0.505 ± 0.000 | 0.505 ± 0.000 |" in text
    assert "0.578" in text  # what the paper prints for it
    assert "| abc " in text
    assert (page.parent / "figures" / "figure8.svg").exists()
    assert (page.parent / "figures" / "figure7.svg").exists()
    assert "figure3" not in text


def test_what_the_paper_prints_is_complete(scripts):
    paper = scripts["records"].PAPER
    for table, length in (("table2", 2), ("table3", 8)):
        for models in paper[table].values():
            for stages in models.values():
                for request, methods in stages.items():
                    assert len(methods) == (2 if request == "learn" else 4)
                    assert {len(values) for values in methods.values()} == {length}
    assert paper["table2"]["ADM"]["NeuMF"]["rand@5"]["SCIF"] == [0.575, 0.587]
    shares = [
        methods["SCIF"][2] / methods["Retrain"][2]
        for models in paper["table3"].values()
        for stages in models.values()
        for request, methods in stages.items()
        if request != "learn"
    ]
    assert sum(shares) / len(shares) == pytest.approx(0.928, abs=5e-4)
