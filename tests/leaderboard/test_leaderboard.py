"""Lines from reports, means and intervals over seeds, the order, the page, and what a file that is none is told."""

import copy
import json
import math

import pytest
from scipy import stats

from recbole_unlearn.cli import main
from recbole_unlearn.exceptions import InputError
from recbole_unlearn.leaderboard.entries import entries_of, joined, read_lines, read_report, save_lines
from recbole_unlearn.leaderboard.page import render_board
from recbole_unlearn.leaderboard.standings import HEADERS, standings


def result(auc, excess, ndcg, seconds):
    half = 0.01
    remembers = {"refit": {"excess": excess, "low": excess - half, "high": excess + half}}
    remembers["strong"] = {"excess": 0.0, "low": -half, "high": half}
    mio = {"refit": {"auc": auc}, "strong": {"auc": 0.5}}
    utility = {"retained": {"ndcg@10": ndcg}, "withdrawn": {"ndcg@10": ndcg / 4}}
    return {"mio": mio, "remembers": remembers, "utility": utility, "seconds": seconds}


def report(seed=1, own=0.002, **more):
    return {
        "model": "NeuMF",
        "dataset": "ml-100k",
        "seed": seed,
        "headline": "ndcg@10",
        "request": {"kind": "users", "sample": "rand", "alpha": 5.0},
        "environment": {"cpus": 2, "threads": 1, "device": "cpu"},
        "run": {"commit": "abc", "command": "run_unlearn.py --seed=1"},
        "references": {"popularity": {"withdrawn": {"ndcg@10": 0.2}}},
        "methods": {
            "Original": result(0.7, 0.2, 0.5, None),
            "Retrain": {**result(0.5, 0.0, 0.4, 20.0), "remembers": {}},
            "<i>mine</i>": result(0.5 + own, own, 0.44, 2.0),
            "poor": result(0.5, 0.001, 0.1, 0.5),
        },
        **more,
    }


def test_a_line_holds_the_figures_of_its_method_beside_retrains():
    lines = {line["method"]: line for line in entries_of(report())}
    assert list(lines) == ["Original", "Retrain", "<i>mine</i>", "poor"]
    mine = lines["<i>mine</i>"]
    assert mine["request"] == "rand@5 users"
    assert mine["kept"] == pytest.approx(1.1)
    assert mine["withdrawn"] == pytest.approx(0.11 / 0.2)
    assert mine["faster"] == 10.0
    assert mine["looks"]["refit"] == {"auc": 0.502, "excess": 0.002, "low": -0.008, "high": 0.012}
    assert (mine["commit"], mine["command"]) == ("abc", "run_unlearn.py --seed=1")
    assert lines["Original"]["faster"] is None
    assert entries_of(report(), "again")[0]["command"] == "again"


def test_people_who_are_named_stand_in_no_line():
    named = report(request={"kind": "users", "sample": None, "digest": None, "n_rows": 31})
    assert {line["request"] for line in entries_of(named)} == {"31 rows of users by name"}


def test_other_keys_are_another_setting_and_the_last_report_of_one_counts():
    short = report(run={"commit": "abc", "command": "run_unlearn.py --model=NeuMF --seed=1 --epochs=1"})
    both = standings([*entries_of(report()), *entries_of(short)])
    assert len(both) == 8
    assert {each.setting[3] for each in both} == {"", "--epochs=1"}
    newer = report(own=0.009, run={"commit": "def", "command": ""})
    lines = joined(joined(entries_of(report()), entries_of(newer)), entries_of(report(own=0.004)))
    mine = next(each for each in standings(lines) if "mine" in each.method)
    assert mine.mean("excess", "refit") == 0.004


def test_the_interval_is_students_over_seeds_and_that_of_the_report_for_one():
    owns = [0.002, 0.004, 0.009]
    one = standings(entries_of(report(1, owns[0])))
    mine = next(each for each in one if "mine" in each.method)
    assert mine.interval("refit") == (pytest.approx(-0.008), pytest.approx(0.012))
    three = standings([line for seed, own in enumerate(owns) for line in entries_of(report(seed, own))])
    mine = next(each for each in three if "mine" in each.method)
    mean = sum(owns) / 3
    deviation = math.sqrt(sum((own - mean) ** 2 for own in owns) / 2)
    half = stats.t.ppf(0.975, 2) * deviation / math.sqrt(3)
    assert mine.interval("refit") == (pytest.approx(mean - half), pytest.approx(mean + half))
    assert mine.cells[HEADERS.index("seeds")] == "3"


def test_what_forgets_and_serves_stands_first_and_what_remembers_last():
    found = [each.method for each in standings(entries_of(report()))]
    assert found == ["<i>mine</i>", "Retrain", "poor", "Original"]
    assert standings(entries_of(report(own=0.2)))[-1].method in ("Original", "<i>mine</i>")
    assert standings(entries_of(report(own=0.2)))[-1].forgets() is False
    unsure = next(each for each in standings(entries_of(report(own=0.015))) if "mine" in each.method)
    assert unsure.forgets() is None


def test_a_method_that_forgets_by_the_refit_oracle_alone_is_not_said_to_forget():
    given = report()
    given["methods"]["<i>mine</i>"]["remembers"]["strong"] = {"excess": 0.3, "low": 0.2, "high": 0.4}
    assert next(each for each in standings(entries_of(given)) if "mine" in each.method).forgets() is False
    del given["methods"]["<i>mine</i>"]["mio"]["strong"]
    assert next(each for each in standings(entries_of(given)) if "mine" in each.method).forgets() is None


def test_a_refit_oracle_that_sees_nobody_cannot_tell():
    given = report()
    given["methods"]["<i>mine</i>"]["mio"]["refit"]["tells"] = False
    assert next(each for each in standings(entries_of(given)) if "mine" in each.method).forgets() is None
    given["methods"]["<i>mine</i>"]["remembers"]["strong"] = {"excess": 0.3, "low": 0.2, "high": 0.4}
    assert next(each for each in standings(entries_of(given)) if "mine" in each.method).forgets() is False


def test_who_is_told_person_by_person_remembers_whatever_the_oracles_say():
    known = {("ml-100k", "NeuMF", "<i>mine</i>"): (0.57, 0.54), ("ml-100k", "NeuMF", "poor"): (0.53, 0.5)}
    found = {each.method: each.forgets() for each in standings(entries_of(report()), known)}
    assert found == {"Retrain": True, "<i>mine</i>": False, "poor": True, "Original": False}


def test_the_page_escapes_what_reports_say_and_has_a_row_for_each():
    page = render_board(standings(entries_of(report())))
    assert "<i>mine" not in page
    assert page.count("<tr>") == 5
    assert "http" not in page


def test_the_newer_of_two_lines_counts(tmp_path):
    first, second = entries_of(report()), entries_of(report(own=0.005))
    lines = joined(first, second)
    assert len(lines) == 4
    assert lines == second
    assert len(joined(first, entries_of(report(seed=2)))) == 8
    save_lines(lines, tmp_path / "board.jsonl")
    assert read_lines(tmp_path / "board.jsonl") == lines
    assert read_lines(tmp_path / "none.jsonl") == []


def broken(change):
    given = copy.deepcopy(report())
    change(given)
    return given


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as json"),
        ("[]", "no report of a comparison"),
        (json.dumps({"methods": {}}), "no report of a comparison"),
        (json.dumps(broken(lambda given: given["methods"].pop("Retrain"))), "has no Retrain"),
        (json.dumps(broken(lambda given: given.update(seed="one"))), "no report"),
        (json.dumps(broken(lambda given: given["methods"].update(odd=[]))), "no report"),
        (json.dumps(broken(lambda given: given["methods"]["poor"].update(seconds="1"))), "no report|another type"),
        (json.dumps(broken(lambda given: given["run"].update(command=["rm"]))), "another type|no line"),
    ],
)
def test_a_file_that_is_no_report_is_told_so_and_nothing_is_written(tmp_path, monkeypatch, capsys, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.json").write_text(content)
    if "rm" not in content:
        with pytest.raises(InputError, match=message):
            read_report("report.json")
        assert main(["submit", "report.json"]) == 2
        assert "report.json" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    else:  # a list becomes a text
        assert read_report("report.json")[0]["command"] == "['rm']"


def test_submit_adds_lines_and_writes_both_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2, 3):
        (tmp_path / f"{seed}.json").write_text(json.dumps(report(seed)))
    assert main(["submit", "1.json", "2.json"]) == 0
    keys = report(4)
    keys["run"] = {"command": "run_unlearn.py " + " ".join(f"--key_{number}=[1,2,3]" for number in range(20))}
    (tmp_path / "4.json").write_text(json.dumps(keys))
    assert main(["submit", "4.json", "--output_dir=other"]) == 0
    assert main(["--submit=3.json", "--output_dir=output"]) == 0
    printed = capsys.readouterr().out
    assert "--key_19=" in printed
    assert max(map(len, printed.splitlines())) <= 100
    assert "output/leaderboard.html" in printed
    assert len(read_lines("output/leaderboard.jsonl")) == 12
    (tmp_path / "output/leaderboard.jsonl").write_text('{"method": 1}\n')
    assert main(["submit", "1.json"]) == 2
    assert "line 1" in capsys.readouterr().err
    assert main(["submit", "1.json", "--model=NeuMF"]) == 2


@pytest.mark.parametrize("value", ["1" + "0" * 400, "NaN", "true", '"1"'])
def test_a_line_with_a_number_that_is_none_is_refused(tmp_path, value):
    line = json.dumps(entries_of(report())[1]).replace('"seconds": 20.0', f'"seconds": {value}')
    assert value in line
    (tmp_path / "board.jsonl").write_text(line)
    with pytest.raises(InputError, match="line 1"):
        read_lines(tmp_path / "board.jsonl")


@pytest.mark.parametrize("name", ["\x1b]0;owned\x07", "a\nb"])
def test_what_a_terminal_would_obey_is_refused(tmp_path, name):
    given = report()
    given["methods"][name] = given["methods"].pop("poor")
    (tmp_path / "report.json").write_text(json.dumps(given))
    with pytest.raises(InputError, match="not printable"):
        read_report(tmp_path / "report.json")
    (tmp_path / "board.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="line 1"):
        read_lines(tmp_path / "board.jsonl")
