"""The refit oracle in worlds in which the truth is known."""

import math
import time

import numpy as np
import pytest
from torch import nn

from recbole_unlearn.evaluator.refit import fresh_scores, refit_oracle, user_aucs
from recbole_unlearn.evaluator.verdict import judged, notes_of_refit, power_of_refit
from recbole_unlearn.model.adapter import InfluenceAdapter
from tests.evaluator.worlds import BPR, EVERYBODY, RETAINED, WITHDRAWN, World, told


@pytest.fixture(scope="module")
def world():
    return World(0)


def test_retrain_reads_a_half_and_items_that_were_kept_read_above(world):
    results = told(world, Original=world.items(EVERYBODY), Retrain=world.items(RETAINED), SCIF=world.items(EVERYBODY))
    original, retrain = results["Original"]["mio"]["refit"], results["Retrain"]["mio"]["refit"]
    assert retrain["auc_low"] < 0.5 < retrain["auc_high"]
    assert original["auc_low"] > 0.55, "labels or halves are the wrong way round"
    power = power_of_refit(results)
    assert power["informative"]
    assert power["excess"] > 3 * power["error"]
    found = judged(results)
    assert found["SCIF"]["remembers"]["refit"]["low"] > 0.05
    assert found["SCIF"]["complete"] is False
    assert found["SCIF"]["mio"]["refit"]["tells"] is True
    assert found["Retrain"]["remembers"] is None


def test_the_null_is_a_half_over_many_splits():
    aucs = []
    for seed in range(40):
        one = World(seed)
        halves = one.halves(WITHDRAWN)
        values, weights = user_aucs(halves, fresh_scores(InfluenceAdapter.of(BPR(one.items(RETAINED))), halves))
        aucs.append(values @ weights / weights.sum())
    assert abs(np.mean(aucs) - 0.5) < 3 * np.std(aucs) / math.sqrt(len(aucs)) < 0.01


def test_a_method_that_forgot_is_complete(world):
    retrain = world.items(RETAINED)
    results = told(world, Original=world.items(EVERYBODY), Retrain=retrain, Forgot=retrain + 1e-3 * world.base)
    found = judged(results)["Forgot"]
    assert found["complete"] is None, "the strong oracle was not asked"
    assert found["remembers"]["refit"]["low"] <= 0 <= found["remembers"]["refit"]["high"]
    for result in results.values():
        result["mio"]["strong"] = {"auc": 0.5, "resampled": [0.49, 0.5, 0.51]}
    assert judged(results)["Forgot"]["complete"] is True
    results["Forgot"]["mio"]["strong"] = {"auc": 0.6, "resampled": [0.55, 0.6, 0.65]}
    assert judged(results)["Forgot"]["complete"] is False


@pytest.mark.parametrize("blind", ["underfitted", "rescaled", "drawn"])
def test_a_model_that_shows_nobody_cannot_be_told(world, blind):
    noise = np.random.default_rng(9).normal(size=world.base.shape)
    items = {"underfitted": world.items([]), "rescaled": 0 * world.base, "drawn": noise}[blind]
    results = told(world, Original=world.items(EVERYBODY), Retrain=world.items(RETAINED), Method=items)
    found = judged(results)["Method"]
    assert found["mio"]["refit"]["tells"] is False
    assert found["complete"] is not True
    report = {"methods": judged(results), "oracle_power": {"refit": power_of_refit(results)}}
    assert any(note.startswith("?: of Method the refit oracle cannot tell") for note in notes_of_refit(report))


def test_an_original_that_shows_nobody_is_not_informative(world):
    results = told(world, Original=world.items([]), Retrain=world.items([]))
    assert power_of_refit(results)["informative"] is False
    assert judged(results)["Retrain"]["mio"]["refit"]["tells"] is False
    report = {"methods": judged(results), "oracle_power": {"refit": power_of_refit(results)}}
    assert any(note.startswith("The refit oracle cannot tell: its AUC") for note in notes_of_refit(report))


def test_without_retrain_a_half_stands_for_it_where_the_split_allows(world):
    results = told(world, Original=world.items(EVERYBODY), SCIF=world.items(EVERYBODY))
    assert power_of_refit(results)["informative"] is True
    assert judged(results)["SCIF"]["remembers"] is None
    assert judged(results)["SCIF"]["complete"] is None
    results["Original"]["mio"]["refit"]["calibrated"] = False
    assert power_of_refit(results) == {"auc": results["Original"]["mio"]["refit"]["auc"], "informative": False}


def test_the_excess_is_a_paired_bootstrap(world):
    """The same model twice has an excess of 0 with no interval; two that are drawn unpaired would have one."""
    kept = world.items(EVERYBODY)
    found = judged(told(world, Original=kept, Retrain=kept, SCIF=kept))
    assert found["SCIF"]["remembers"]["refit"] == {"excess": 0.0, "low": 0.0, "high": 0.0}


def test_no_figure_of_a_draw_stands_in_a_report(world):
    found = judged(told(world, Original=world.items(EVERYBODY), Retrain=world.items(RETAINED)))
    assert "resampled" not in str(found)


def test_figures_repeat_bit_by_bit(world):
    one, two = (refit_oracle(BPR(world.items(EVERYBODY)), world.question, 1) for _ in range(2))
    assert one["auc"] == two["auc"]
    assert one["resampled"] == two["resampled"]


def test_rows_of_users_are_not_looked_at(world):
    model = BPR(world.items(EVERYBODY))
    before = refit_oracle(model, world.question, 1)["auc"]
    nn.init.normal_(model.user_embedding.weight)
    assert refit_oracle(model, world.question, 1)["auc"] == before


def test_it_is_fast(world):
    model, question = BPR(world.items(EVERYBODY)), world.question
    start = time.process_time()
    refit_oracle(model, question, 1)
    assert time.process_time() - start < 5  # .1 s on a quiet core
