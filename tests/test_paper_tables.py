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
    names = ("records", "claims", "paper_figures", "paper_parts", "paper_tables")
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


def line_of(table, method):
    """Return the cells of a method's line in a markdown table."""
    (found,) = [text for text in table.splitlines() if f"| {method} " in text]
    return found.strip("|").split("|")


def test_records_stand_beside_their_own_retrain(scripts):
    rows = scripts["records"].records([line(1), line(1, scif=0.9), line(2)])
    assert len(rows) == 14  # six methods and popularity of two cells: the second line of the same cell does not count
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
    assert rows["RecEraser, learned"]["strong_way"] == 0
    content["cell"] = {**content["cell"], "dataset": "amazon-digital-music-5core"}
    table = scripts["paper_parts"].table2(scripts["records"].records([content]), "amazon-digital-music-5core", "NeuMF")
    assert [part.strip() for part in line_of(table, "RecEraser, learned")[-2:]] == ["0.61", "0.671"]
    stage = scripts["paper_parts"].stage
    assert stage("rand@5", "RecEraser, learned") == ("learn", "RecEraser")
    assert stage("rand@5", "Original") == ("learn", "Retrain")
    assert stage("rand@5", "SCIF-paper") == ("rand@5", "SCIF-paper")


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
    assert verdict(good, "IF, rand@5: at least 0.97").holds is False  # .45 of .5
    assert verdict(good, "IF, rand@5: at least 0.97").paper == "0.854"  # .4487 over .5256
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


def test_what_a_grid_did_not_ask_comes_from_another_of_the_same_code(scripts):
    """paper.yaml asks the strong oracle alone, table2.yaml also the paper's; what both asked is the first's."""
    other = line(1, scif=0.9)
    for result in other["methods"].values():
        result["mio"]["paper"] = {"auc": 0.49, "acc": 0.5}
    rows = {row["method"]: row for row in scripts["records"].records([line(1), other])}
    assert rows["SCIF"]["paper_auc"] == 0.49
    assert rows["SCIF"]["strong_auc"] == 0.505
    other["provenance"]["source"] = "another"
    rows = {row["method"]: row for row in scripts["records"].records([line(1), other])}
    assert rows["SCIF"]["paper_auc"] is None


def test_a_weak_oracle_is_said_with_every_verdict_that_rests_on_it(scripts):
    weak = [line(1), line(2)]
    for content in weak:
        content["methods"]["Original"]["mio"]["strong"]["auc"] = 0.7
    found = {claim.what: claim for claim in scripts["claims"].claims(scripts["records"].records(weak), [], [])}
    assert found["SCIF, rand@5: AUC minus Retrain's within 0.01"].verdict == "holds, weak oracle"
    assert found["SCIF, rand@5: at least 0.99 of Retrain's NDCG@10"].verdict == "holds"
    table = scripts["paper_parts"].table2(scripts["records"].records(weak), "ml-1m", "NeuMF")
    assert "too weak to be informative** on Original, rand@5 (0.700)" in table
    assert line_of(table, "SCIF")[7].strip() == ""  # no way can be measured


def test_an_excess_over_popularity_counts_beyond_its_interval_over_seeds(scripts):
    """Three seeds with .01, .02 and .03 more: mean .02, half interval 4.303 x .01 / sqrt 3 = .0248."""
    half = scripts["records"].half_interval([0.01, 0.02, 0.03])
    assert half == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    for seeds, holds in (([0.21, 0.22, 0.23], True), ([0.219, 0.22, 0.221], False)):
        rows = scripts["records"].records([line(n, withdrawn=value) for n, value in enumerate(seeds)])
        (claim,) = [claim for claim in scripts["claims"].claims(rows, [], rows) if claim.what.startswith("SCIF serves")]
        assert claim.holds is holds


def test_what_fails_has_its_reason_and_its_place(scripts):
    rows = scripts["records"].records([line(1), line(2)])
    text = scripts["paper_tables"].reasons(scripts["claims"].claims(rows, [], rows))
    assert "- IF, rand@5: AUC minus Retrain's within 0.02 (NeuMF, ml-1m): not found." in text
    assert "SCIF, rand@5: AUC" not in text


def test_a_quiet_run_is_the_clock_of_its_data_set_alone(scripts):
    records, clocks = scripts["records"].records, scripts["paper_tables"].clocks
    rows = records([line(1), line(2), line(1, dataset="ml-100k")])
    alone = records([{**line(1), "alone": True}])
    found = clocks(rows, alone)
    assert {(row["dataset"], row["seed"], row["alone"]) for row in found} == {("ml-1m", 1, True), ("ml-100k", 1, False)}


def test_the_speed_against_stock_is_that_of_its_own_run(scripts):
    run = {"model": "NeuMF", "dataset": "ml-1m"}
    run["methods"] = {
        "Retrain": {"seconds": 100.0, "stock_seconds": 150.0},
        "SCIF": {"speedup_stock_seconds": 400.0},
        "IF": {"speedup_stock_seconds": 30.0},
    }
    times = [{"method": "RecEraser", "dataset": "ml-1m", "request": "rand@5", "parallel_speedup": 4.0}]
    found = scripts["claims"].beside_stock([run, {**run, "dataset": "ml-100k"}], times)
    assert [(claim.here, claim.holds) for claim in found] == [("400.0", False), ("30.0", True), ("6.0", True)]
    assert {claim.where for claim in found} == {"NeuMF, ml-1m"}


def test_kept_utility_is_the_mean_over_settings(scripts):
    text = scripts["paper_parts"].kept(scripts["records"].records([line(1), line(1, dataset="ml-100k")]))
    assert [part.strip() for part in line_of(text, "IF")] == ["IF", "0.900 (2)", "0.865", "0.900 (2)", "0.857"]
    assert line_of(text, "SCIF")[2].strip() == "0.928"


def test_the_mean_gap_decides_and_its_spread_is_shown(scripts):
    rows = scripts["records"].records([line(1, scif=0.52), line(2, scif=0.48)])
    claim = next(c for c in scripts["claims"].claims(rows, [], rows) if c.what.startswith("SCIF, rand@5: AUC"))
    assert claim.holds is True
    assert claim.here.startswith(("0.000 ± 0.028", "-0.000 ± 0.028"))


def test_figure_3_needs_the_withdrawn_users_to_move_most(scripts):
    def cka(withdrawn, retained=0.95):
        figures = {"users_withdrawn": withdrawn, "users_retained": retained, "items": 1.0}
        parts = {name: {"relative_debiased": value} for name, value in figures.items()}
        return {"model": "NeuMF", "dataset": "ml-100k", "cell": {"request": "rand@5"}, "cka": {"RetrainAgain": parts}}

    lines = [cka(0.2), cka(0.94), cka(0.2, 0.8), cka(None)]
    assert [claim.holds for claim in scripts["claims"].selective(lines)] == [True, False, False, None]


def test_a_curve_of_figure_3_is_one_models_mean_over_seeds(scripts):
    def cka(model, alpha, value):
        parts = {"items": {"relative": value}}
        return {"model": model, "request": {"alpha": alpha}, "cka": {"RetrainAgain": parts}}

    lines = [cka("NeuMF", 5.0, 0.5), cka("NeuMF", 2.5, 0.9), cka("NeuMF", 5.0, 0.7)]
    assert scripts["paper_figures"].curve(lines, "items", "relative") == ([2.5, 5.0], [0.9, pytest.approx(0.6)])


def test_the_page_is_written_whole(scripts, tmp_path, monkeypatch):
    results = tmp_path / "results"
    results.mkdir()
    (results / "paper.jsonl").write_text("".join(json.dumps(line(seed)) + "\n" for seed in (1, 2)) + '{"torn": ')
    read = scripts["records"].read_lines
    monkeypatch.setattr(scripts["paper_tables"], "read_lines", lambda name: read(name, results))
    page = tmp_path / "docs" / "results.md"
    scripts["paper_tables"].main(page)
    text = page.read_text()
    assert "| rand@5    | SCIF     | 2       | 0.505 ± 0.000 | 0.505 ± 0.000 | 0.505 to 0.505  |" in text
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
