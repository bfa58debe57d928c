import json
from datetime import datetime

import pytest

from recbole_unlearn.evaluator.report import finite, free_name, make_report, notes_of, save_report
from recbole_unlearn.evaluator.text import render


@pytest.fixture
def report():
    utility = {"retained": {"ndcg@10": 0.4}, "withdrawn": {"ndcg@10": 0.2}, "all": {"ndcg@10": 0.39}}
    strong = {"acc": 0.7, "auc": 0.8, "auc_low": 0.75, "auc_high": 0.85}
    return {
        "schema": 1,
        "model": "NeuMF",
        "dataset": "tiny",
        "seed": 1,
        "request": {"kind": "users", "sample": "rand", "alpha": 5.0, "n_users": 3, "n_rows": 1200, "scope": "train"},
        "headline": "ndcg@10",
        "oracle_power": {"strong": {"auc": 0.8, "informative": True}, "paper": {"auc": 0.51, "informative": False}},
        "references": {"popularity": utility},
        "methods": {
            "Original": {
                "utility": utility,
                "mio": {"strong": strong, "paper": {"auc": None, "reason": "no test rows"}},
                "seconds": None,
            },
            "Retrain": {
                "utility": utility,
                "mio": {"strong": {"auc": None, "reason": "none"}},
                "seconds": 20.0,
                "speedup": 1.0,
                "peak_mb": 7.0,
            },
        },
    }


def parts(report, columns=100):
    """Return the lines of each table of a report, its ruler first."""
    lines = render(report, columns).splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("---")]
    ends = [lines.index("", rule) for rule in rules]
    return [lines[rule:end] for rule, end in zip(rules, ends, strict=True)]


def test_columns_line_up(report):
    tables = parts(report)
    assert [[row.split()[0] for row in table[1:]] for table in tables] == [
        ["Original"],  # nobody asked about Retrain, and popularity is not asked
        ["Original", "Retrain", "(popularity)"],
    ]
    for rule, *rows in tables:
        ends = [position for position in range(1, len(rule)) if rule[position - 1] == "-" and rule[position] == " "]
        assert all(len(row) <= len(rule) for row in rows)
        assert all(row.ljust(len(rule))[end] == " " for row in rows for end in ends)


@pytest.mark.parametrize("columns", [100, 80, 70])
def test_a_report_fits_the_terminal_and_loses_columns_for_it(report, columns):
    many = {"auc": 0.8, "auc_low": 0.75, "auc_high": 0.85, "users": 3, "of": 3, "calibrated": True}
    report["oracle_power"]["refit"] = {"auc": 0.8, "informative": True}
    for result in report["methods"].values():
        result |= {"mio": {"strong": many, "refit": {**many, "tells": False}, "paper": many}, "peak_mb": 1234.5}
    report["methods"]["Retrain"] |= {"seconds": 1234.5678, "speedup": 1234.5}
    text = render(report, columns)
    assert max(map(len, text.splitlines())) <= columns
    header = text.partition("P1 completeness")[2].partition("Original")[0]
    costs = text.partition("P2 time")[2].partition("Original")[0]
    assert "paper's" in header
    assert ("peak" in costs, "withdrawn" in costs, "of" in costs) == (columns == 100, columns == 100, True)
    assert "0.800 [0.750, 0.850]?" in text
    assert "1,234.568" in text


def test_the_table_says_what_was_measured(report):
    text = render(report)
    assert "NeuMF on tiny, rand@5: 3 users lose 1,200 training rows (seed 1, scope train)" in text
    assert "0.800 [0.750, 0.850]" in text
    assert "The paper oracle reads 0.510 on the original model" in text
    assert "The strong oracle" not in text


def test_clocks_are_read_out(report):
    report["methods"]["RecEraser"] = {
        **report["methods"]["Retrain"],
        "clocks": {"serial": 20.0, "parallel": 3.5, "request": 3.25},
    }
    assert "RecEraser's clocks: serial 20.000 s, parallel 3.500 s, request 3.250 s (" in render(report)


def test_json_holds_no_nan(report, tmp_path):
    report["methods"]["Original"]["utility"] = {"all": {"ndcg@10": float("nan"), "hit@10": float("-inf")}}
    save_report(finite(report), tmp_path / "new" / "report.json")
    written = json.loads((tmp_path / "new" / "report.json").read_text())
    assert written["methods"]["Original"]["utility"]["all"] == {"ndcg@10": None, "hit@10": None}
    assert written["nulls"] == {
        "methods.Original.utility.all.ndcg@10": "it was nan",
        "methods.Original.utility.all.hit@10": "it was -inf",
    }


def test_the_headline_is_the_valid_metric(report):
    report["headline"] = "hit@5"
    report["methods"]["Original"]["utility"]["retained"] = {"hit@5": 0.7654}
    text = render(report)
    assert "P3 HIT@5" in text
    assert "HIT@5 of retained and of withdrawn users, more is better" in text
    assert "users, less is better" in render({**report, "headline_bigger": False})
    assert "0.7654" in text


def test_a_solve_that_did_not_converge_is_said(report):
    diagnostics = {"converged": 0.5, "residual": 0.034, "note": "200 products were not enough"}
    report["methods"]["Retrain"]["diagnostics"] = diagnostics
    told = "Retrain did not converge: 50% of its solves did, the worst residual is 0.034. 200 products"
    assert told in " ".join(render(report).split())
    assert any(note.startswith(told) for note in notes_of(report))


def test_a_method_that_did_not_converge_may_have_no_residual(report):
    report["methods"]["Retrain"]["diagnostics"] = {"converged": 0.0, "steps": 1}
    assert "Retrain did not converge: 0% of its solves did." in notes_of(report)


def test_an_oracle_without_figure_says_why(report):
    report["oracle_power"]["paper"] = {"auc": None, "informative": False}
    assert "The paper oracle has no figure: no test rows" in render(report)


def test_make_report_weighs_against_retrain_and_judges_the_oracle(report):
    results = {**report["methods"], "SCIF": {"utility": {}, "mio": {}, "seconds": 0.5}}
    facts = {"model": "NeuMF", "dataset": "tiny", "headline": "ndcg@10", "mio_power": 0.75}
    made = make_report(facts, results, {})
    assert made["methods"]["SCIF"]["speedup"] == 40
    assert made["oracle_power"]["strong"] == {"auc": 0.8, "informative": True}
    assert made["oracle_power"]["paper"] == {"auc": None, "informative": False}
    assert made["nulls"] == {"methods.Original.seconds": "it was trained, not unlearned"}


def test_reports_of_the_same_second_have_names_of_their_own(tmp_path):
    time = datetime(2026, 11, 27, 14, 15, 22)
    names = []
    for _ in range(3):
        stem = free_name(tmp_path, time)
        names.append(stem.name)
        save_report({}, stem.with_suffix(".json"))
    assert names == ["2026-11-27T14-15-22Z", "2026-11-27T14-15-22Z-2", "2026-11-27T14-15-22Z-3"]
