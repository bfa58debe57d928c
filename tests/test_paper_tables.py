"""The scripts that write docs/results.md, on lines made by hand."""

import importlib
import json

import pytest

SCRIPTS = (
    "records",
    "verdicts",
    "claims_figures",
    "claims",
    "paper_figures",
    "paper_parts",
    "glance",
    "findings",
    "paper_tables",
    "in_short",
)


@pytest.fixture
def scripts():
    pytest.importorskip("matplotlib")
    return {name: importlib.import_module(f"benchmarks.pages.{name}") for name in SCRIPTS}


def result(auc, ndcg, seconds=None, speedup=None, withdrawn=0.2, epochs=50):
    groups = {name: {"ndcg@10": ndcg, "hit@10": ndcg} for name in ("retained", "all")}
    taste = {"mean": withdrawn - 0.2, "low": withdrawn - 0.25, "high": withdrawn - 0.15}
    return {
        "utility": {**groups, "withdrawn": {"ndcg@10": withdrawn}},
        "mio": {"strong": {"auc": auc, "acc": auc}},
        "seconds": seconds,
        "speedup": speedup,
        "witnesses": {"taste": taste, "relearn": {"epochs": epochs, "reached": epochs < 200}},
    }


def line(seed, scif=0.505, dataset="ml-1m", withdrawn=0.2, file="paper", source="def"):
    return {
        "file": file,
        "cell": {"dataset": dataset, "model": "NeuMF", "seed": seed, "request": "rand@5"},
        "environment": {"python": "3.11", "torch": "2", "recbole": "1.2.1", "numpy": "2", "scipy": "1"},
        "provenance": {"commit": "abc", "source": source, "config": "ghi"},
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
    assert verdict(bad, "SCIF, rand@5: AUC").here == "+0.055 [-0.263, +0.373], mean size 0.055"
    assert verdict(bad, "SCIF, rand@5: AUC").seeds == 2
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
    assert verdict(good, "Figure 8: CIF above").papers_own is True
    assert verdict(good[:1], "Figure 8: CIF above").verdict == "not measured"  # one seed tells no order
    assert verdict(good, "SCIF costs the retained users nothing").holds is True
    assert verdict(good, "Figure 7: SCIF").holds is True
    assert verdict(good, "Figure 7: RecEraser").verdict == "not measured"
    assert verdict(good, "the strong oracle's AUC").holds is True
    assert verdict(good, "relearn").holds is True
    assert verdict(good, "relearn").papers_own is False


def claim_of(scripts, lines, what):
    rows = scripts["records"].records(lines)
    (found,) = [claim for claim in scripts["claims"].claims(rows, [], []) if claim.what.startswith(what)]
    return found


def lines_with(method, key, values, **given):
    """Return a line for each value, which a method's result holds under that key of its utility of all, or relearn."""
    lines = [line(seed, **given) for seed in range(len(values))]
    for content, value in zip(lines, values, strict=True):
        result = content["methods"][method]
        {"all": result["utility"]["all"], "relearn": result["witnesses"]["relearn"]}[key].update(
            {"ndcg@10": value} if key == "all" else {"epochs": value, "reached": value < 200}
        )
    return lines


@pytest.mark.parametrize(
    ("ndcg", "holds", "outcome"),
    [
        ([0.46, 0.461, 0.462], True, "more"),
        ([0.40, 0.45, 0.51], False, "not told apart"),
        ([0.44, 0.441, 0.442], False, "less"),
    ],
)
def test_an_order_is_more_less_or_not_told_apart(scripts, ndcg, holds, outcome):
    """CIF beside IF's .45, three seeds; the interval is Student's, not two standard errors."""
    claim = claim_of(scripts, lines_with("CIF", "all", ndcg), "Figure 8: CIF above")
    assert claim.holds is holds
    assert f"], {outcome}; SCIF - SIF +0.1000" in claim.here
    assert (
        scripts["claims_figures"].outcome([0.1, 0.2, 0.4]) == "not told apart"
    )  # 2.65 standard errors, Student's 4.30


def test_a_reason_of_the_order_is_that_of_its_outcome(scripts):
    found = {}
    for outcome, ndcg in (("told", [0.40, 0.45, 0.51]), ("less", [0.44, 0.441, 0.442])):
        lines = lines_with("CIF", "all", ndcg)
        for content in lines:
            for method, plain in (("CIF", "IF"), ("SCIF", "SIF")):
                content["methods"][method]["utility"]["retained"] = content["methods"][plain]["utility"]["retained"]
        found[outcome] = claim_of(scripts, lines, "Figure 8: CIF above").why
    assert "within the seeds' spread" in found["told"]
    assert "within the seeds' spread" not in found["less"]
    assert "serves them less well" in found["less"]
    lines = lines_with("CIF", "all", [0.44, 0.441, 0.442])  # retained users differ: that reason is not true
    assert claim_of(scripts, lines, "Figure 8: CIF above").why == ""


def test_every_of_the_four_pairs_counts_for_the_papers_figure(scripts):
    """SIF .45 stands above CIF .40 and below SCIF; each is above its own counterpart."""
    lines = [line(seed) for seed in range(3)]
    for content in lines:
        for method, ndcg in (("IF", 0.3), ("SIF", 0.45), ("CIF", 0.4), ("SCIF", 0.5)):
            content["methods"][method]["utility"]["all"] = {"ndcg@10": ndcg}
    assert claim_of(scripts, lines, "Figure 8: CIF above").holds is True
    assert claim_of(scripts, lines, "Figure 8: each of").holds is False
    for content in lines:
        content["methods"]["CIF"]["utility"]["all"] = {"ndcg@10": 0.46}
    assert claim_of(scripts, lines, "Figure 8: each of").holds is True


@pytest.mark.parametrize(
    ("epochs", "verdict"),
    [
        ([35, 34, 36], "**does not hold**"),
        ([64, 66, 65], "**does not hold**"),
        ([49, 51, 53], "holds"),
        ([35, 34, 200], "not measured"),
    ],
)
def test_relearning_takes_as_long_as_retrains(scripts, epochs, verdict, monkeypatch):
    measured = {"Retrain": {"epochs": 50}, "SCIF on Retrain": {"epochs": 40}, "SCIF": {"epochs": 35}}
    monkeypatch.setattr(scripts["claims"], "read_lines", lambda name: [{"relearn": measured}])
    claim = claim_of(scripts, lines_with("SCIF", "relearn", epochs, dataset="ml-100k"), "relearn")
    assert claim.verdict == verdict
    assert ("the position of the embeddings" in claim.why) == (epochs == [35, 34, 36])
    if epochs[2] == 200:
        assert claim.here == "SCIF 34 to > 200 (2 of 3), Retrain 50.0 ± 0.0"
    assert claim_of(scripts, lines_with("Retrain", "relearn", [200, 200, 200]), "relearn").holds is None


def test_relearning_sooner_is_divided_into_place_and_memory(scripts):
    told = {"Retrain": 50, "SCIF on Retrain": 40, "SCIF": 37}
    line = {"relearn": {name: {"epochs": epochs} for name, epochs in told.items()}}
    text = scripts["claims"].place_or_memory([line])
    assert "-10.0 epochs go with the position of the embeddings" in text
    assert "-3.0 with what items" in text
    assert scripts["claims"].place_or_memory([]) == ""


def test_epochs_at_the_cap_are_no_figures(scripts):
    def shown(*epochs):
        rows = [{"relearn.epochs": n, "relearn.reached": None if n is None else n < 200} for n in epochs]
        return scripts["records"].relearned(rows)

    assert shown(200, 200) == "> 200 (0 of 2)"
    assert shown(190, 200, 150) == "150 to > 200 (2 of 3)"
    assert shown(10, 20) == "15.0 ± 7.1"
    assert shown(10, None) == "10.0 (n = 1)"
    assert shown(None) == ""


def measured(*aucs):
    """Return lines in which IF, which the strong oracle can see, reads these figures."""
    lines = [line(seed) for seed in range(1, len(aucs) + 1)]
    for content, auc in zip(lines, aucs, strict=True):
        content["methods"]["IF"]["mio"]["strong"]["auc"] = auc
    return lines


@pytest.fixture
def seeing(scripts, monkeypatch):
    """An oracle that is blind to no method."""
    monkeypatch.setattr(scripts["claims"], "SHARES_ROWS", ())


@pytest.mark.usefixtures("seeing")
def test_a_mean_within_the_bound_with_an_interval_across_it_is_wide(scripts):
    what = "IF, rand@5: AUC"
    assert claim_of(scripts, measured(0.502, 0.502), what).verdict == "holds"
    assert claim_of(scripts, measured(0.52, 0.48), what).verdict == "holds, wide"
    assert claim_of(scripts, measured(0.502), what).verdict == "holds, 1 seed"  # which has no interval
    is_wide = scripts["verdicts"].is_wide
    assert is_wide([0.9, 1.1], 0.99)
    assert not is_wide([1.044, 1.046], 0.99)
    assert not is_wide([0.9, 0.91], 0.99)  # it does not even hold
    assert claim_of(scripts, measured(0.47, 0.47), what).verdict == "**does not hold**"


def test_a_verdict_of_the_blind_oracle_is_withdrawn(scripts):
    """It reads .5 of SCIF and IF whatever their items remember, which is no success; a figure off Retrain's is a failure."""
    assert (
        claim_of(scripts, measured(0.502, 0.502), "IF, rand@5: AUC").verdict == "withdrawn: the oracle is blind to it"
    )
    what = "SCIF, rand@5: AUC"
    claim = claim_of(scripts, [line(1, scif=0.502), line(2, scif=0.502)], what)
    assert claim.verdict == "withdrawn: the oracle is blind to it"
    assert scripts["glance"].verdict([claim]) == "blind"
    assert claim_of(scripts, [line(1, scif=0.47), line(2, scif=0.47)], what).verdict == "**does not hold**"


def test_a_reason_stands_only_where_it_was_found(scripts):
    """RecEraser's on sparse data is of ADM, that of too little taste of shares under .9, and of ADM."""

    def why(what, dataset, **given):
        lines = [line(seed, dataset=dataset, **given) for seed in (1, 2)]
        for content in lines:
            content["methods"]["RecEraser"] = result(0.5, 0.2, 50.0, 2.0)
        claim = claim_of(scripts, lines, what)
        assert claim.holds is False
        return claim.why

    adm = "amazon-digital-music-5core"
    assert "a shard has about one row an item" in why("RecEraser, rand@5: at least 0.85", adm)
    assert why("RecEraser, rand@5: at least 0.85", "ml-1m") == ""
    assert "order of popularity" in why("SCIF serves", adm, withdrawn=0.15)
    assert why("SCIF serves", adm, withdrawn=0.3) == ""
    assert "IF draws the embeddings" in why("IF, rand@5: AUC", adm)
    assert why("IF, rand@5: AUC", "ml-1m") == ""


def test_a_model_without_an_aim_of_its_own_has_no_claim_of_power(scripts):
    lines = [line(1)]
    lines[0]["cell"]["model"] = "BPR"
    found = scripts["claims"].claims(scripts["records"].records(lines), [], [])
    assert not [claim for claim in found if "strong oracle's AUC" in claim.what]


def test_a_glance_tells_not_measured_from_not_about_this_setting(scripts):
    def claim(holds, what="what", seeds=2, **doubts):
        return scripts["claims"].Claim("NeuMF, ml-1m", what, "", "", seeds, holds, **doubts)

    verdict = scripts["glance"].verdict
    assert verdict([]) == "–"
    assert verdict([claim(None)]) == "not measured"
    assert verdict([claim(True), claim(False)]) == "**no**"
    assert verdict([claim(True), claim(None)]) == "yes"
    assert verdict([claim(True, seeds=1), claim(True)]) == "1 seed"
    assert verdict([claim(True, weak=True, wide=True)]) == "weak, wide"
    assert claim(True, weak=True, wide=True).verdict == "holds, weak oracle, wide"
    text = scripts["glance"].summary(
        [
            *(claim(True, papers_own=True) for _ in range(4)),  # Figure 3's four requests are one cell
            claim(False, "one", seeds=1),
            claim(None, "two"),
            claim(True, "three", wide=True),
        ]
    )
    none = "and 0 rest on the strong oracle where it is blind"
    assert f"1 hold, 0 do not, 0 hold on one seed, 0 are not measured {none}, of 1." in text
    assert f"aims 1 hold, 1 do not, 0 hold on one seed, 1 are not measured {none}, of 3." in text
    assert "Of those that hold, 0 rest on an oracle that is weak there and 1 on" in text


def test_a_figure_of_fewer_seeds_than_its_row_says_so(scripts):
    """The paper's oracle comes from a grid of two seeds; where none has it there is no column."""
    lines = [line(seed) for seed in (1, 2, 3)]
    table2 = scripts["paper_parts"].table2
    assert "paper's oracle" not in table2(scripts["records"].records(lines), "ml-1m", "NeuMF")
    for content in lines[:2]:
        content["methods"]["SCIF"]["mio"]["paper"] = {"auc": 0.49, "acc": 0.5}
    table = table2(scripts["records"].records(lines), "ml-1m", "NeuMF")
    assert "AUC, paper's oracle" in table
    assert "0.490 ± 0.000 (n = 2)" in line_of(table, "SCIF")[-3]
    assert "n =" not in line_of(table, "SCIF")[3]


def test_solves_that_did_not_converge_are_noted(scripts):
    lines = [line(1), line(2)]
    note = scripts["paper_parts"].not_converged
    assert note(scripts["records"].records(lines)) == ""
    for content, share in zip(lines, (1.0, 0.5), strict=True):
        content["methods"]["SCIF"]["diagnostics"] = {"converged": share}
    assert note(scripts["records"].records(lines)).endswith("mean over cells: SCIF 75.0 %.")


def test_lines_of_another_state_of_the_code_do_not_enter_a_mean(scripts):
    """Of a data set, model and request the first line's code counts, unless the files are one grid."""
    counted = scripts["records"].counted
    first, other = line(1), line(2, file="figure8", source="other")
    assert counted([first, other]) == [first]
    assert counted([first, line(2, file="figure8")])[1:] == [line(2, file="figure8")]
    assert len(counted([first, line(5, file="paper-again", source="other")])) == 2
    assert len(counted([first, line(2, dataset="ml-100k", file="figure8", source="other")])) == 2
    first["methods"]["SCIF"]["diagnostics"] = {"ridge": 0.003}
    again = line(5, file="paper-again", source="new")
    assert counted([first, line(5), again]) == [first, again]
    table, told, left, why = scripts["paper_tables"].sources([first, other, again], [])
    assert "`figure8.jsonl`" not in table
    assert "| `paper-again.jsonl` | abc | new |" in table
    assert "`paper.jsonl`, SCIF's ridge 0.003: NeuMF, ml-1m (`paper-again.jsonl`)." in told
    assert left.endswith("`figure8.jsonl` 1.")
    assert why.startswith("Seeds 5 and 10 were measured again")


def test_the_clock_of_figure_7_enters_no_other_table(scripts):
    assert "figure7" not in scripts["records"].GRIDS
    assert scripts["records"].GRIDS[:2] == ("paper", "paper-again")


def test_the_readme_marks_a_weak_oracle(scripts):
    rows = scripts["records"].records([line(1), line(2)])
    assert scripts["in_short"].principles(rows)[:3] == [2, "0.800", "0.005 ± 0.000"]
    for row in rows:
        row["strong_auc"] = 0.7
    assert scripts["in_short"].principles(rows)[1] == "0.700 (weak)"
    assert "kept: SCIF" in scripts["in_short"].HEAD


def test_what_a_grid_did_not_ask_comes_from_another_of_the_same_code(scripts):
    """paper.yaml asks the strong oracle alone, table2.yaml also the paper's; what both asked is the first's."""
    other = line(1, scif=0.9)
    for result in other["methods"].values():
        result["mio"]["paper"] = {"auc": 0.49, "acc": 0.5}
    rows = {row["method"]: row for row in scripts["records"].records([line(1), other])}
    assert rows["SCIF"]["paper_auc"] == 0.49
    assert rows["SCIF"]["strong_auc"] == 0.505
    other.update(file="figure8", provenance={**other["provenance"], "source": "another"})
    rows = {row["method"]: row for row in scripts["records"].records([line(1), other])}
    assert rows["SCIF"]["paper_auc"] is None
    other["file"] = "table2"
    rows = {row["method"]: row for row in scripts["records"].records([line(1), other])}
    assert rows["SCIF"]["paper_auc"] == 0.49
    assert rows["SCIF"]["strong_auc"] == 0.505


@pytest.mark.usefixtures("seeing")
def test_a_weak_oracle_is_said_with_every_verdict_that_rests_on_it(scripts):
    weak, lines = [line(1), line(2)], measured(0.502, 0.502)
    for content in (*weak, *lines):
        content["methods"]["Original"]["mio"]["strong"]["auc"] = 0.7
    found = {claim.what: claim for claim in scripts["claims"].claims(scripts["records"].records(weak), [], [])}
    assert found["IF, rand@2.5: AUC minus Retrain's within 0.01"].verdict == "not measured"
    assert (
        found["the strong oracle's AUC on the original reaches the aim: 0.78 (NeuMF), 0.66 (LightGCN)"].holds is False
    )
    assert claim_of(scripts, lines, "IF, rand@5: AUC").verdict == "holds, weak oracle"
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
    text = scripts["glance"].reasons(scripts["claims"].claims(rows, [], rows))
    assert "- IF, rand@5: AUC minus Retrain's within 0.01\n    - NeuMF, ml-1m: the cause was not looked for." in text
    assert "SCIF, rand@5: AUC" not in text


def test_a_quiet_run_is_the_clock_of_its_data_set_alone(scripts):
    records, clocks = scripts["records"].records, scripts["paper_tables"].clocks
    rows = records([line(1), line(2), line(1, dataset="ml-100k")])
    alone = records([{**line(1), "alone": True}])
    found = clocks(rows, alone)
    assert {(row["dataset"], row["seed"], row["alone"]) for row in found} == {("ml-1m", 1, True), ("ml-100k", 1, False)}


def test_the_speed_against_stock_is_that_of_its_own_run(scripts):
    run = {"model": "NeuMF", "dataset": "ml-1m", "environment": {"threads": 2}}
    run["methods"] = {
        "Retrain": {"seconds": 100.0, "stock_seconds": 150.0},
        "SCIF": {"speedup_stock_seconds": 400.0},
        "IF": {"speedup_stock_seconds": 30.0},
    }
    times = [{"method": "RecEraser", "dataset": "ml-1m", "request": "rand@5", "parallel_speedup": 4.0}]
    found = scripts["claims_figures"].beside_stock([run, {**run, "dataset": "ml-100k"}], times)
    assert [(claim.here, claim.holds) for claim in found[:2]] == [("400.0", False), ("30.0", True)]
    assert found[2].holds is True
    assert found[2].here.startswith("6.0: stock's Retrain over ours 1.50 (threads: 2)")
    assert "composed" in found[2].what
    assert {claim.where for claim in found} == {"NeuMF, ml-1m"}


def test_kept_utility_is_a_mean_for_each_data_set(scripts):
    """Beside what the paper prints for the same settings: NeuMF, rand@5, .4487 of .5256."""
    lines = [line(1), line(1, dataset="amazon-digital-music-5core")]
    lines[1]["methods"]["IF"] = result(0.5, 0.25)
    table = [
        text.strip("| ").split(" | ")
        for text in scripts["paper_parts"].kept(scripts["records"].records(lines)).splitlines()
    ]
    found = [cells for cells in table if cells[1] == "IF"]
    assert [cells[:5] for cells in found] == [
        ["ml-1m", "IF", "1", "0.900", "0.854"],
        ["amazon-digital-music-5core", "IF", "1", "0.500", "0.872"],
    ]


def test_the_mean_gap_decides_and_its_spread_is_shown(scripts):
    rows = scripts["records"].records([line(1, scif=0.52), line(2, scif=0.48)])
    claim = next(c for c in scripts["claims"].claims(rows, [], rows) if c.what.startswith("SCIF, rand@5: AUC"))
    assert claim.holds is True
    assert claim.here.endswith("[-0.254, +0.254], mean size 0.020")


def test_figure_3_needs_the_withdrawn_users_to_move_most(scripts):
    def cka(withdrawn, retained=0.95):
        figures = {"users_withdrawn": withdrawn, "users_retained": retained, "items": 1.0}
        parts = {name: {"relative_debiased": value} for name, value in figures.items()}
        return {"model": "NeuMF", "dataset": "ml-100k", "cell": {"request": "rand@5"}, "cka": {"RetrainAgain": parts}}

    lines = [cka(0.2), cka(0.94), cka(0.2, 0.8), cka(None)]
    rows = scripts["records"].records([line(1)])
    found = scripts["claims_figures"].selective(lines, rows)
    assert [claim.holds for claim in found] == [True, False, False, None, None]
    assert found[-1].where == "NeuMF, ml-1m"  # no line of it: not measured


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
    text = page.with_name("results_tables.md").read_text()
    assert "| rand@5 | SCIF | 2 | 0.505 ± 0.000 | 0.505 ± 0.000 | 0.505 to 0.505 |" in text
    assert "0.5000 ± 0.0000 | 0.5000 ± 0.0000" in text
    assert "0.578" in text  # what the paper prints for it
    assert "| abc " in text
    assert (page.parent / "figures" / "figure8.svg").exists()
    assert (page.parent / "figures" / "figure7.svg").exists()
    assert "figure3" not in page.read_text()


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
