"""The parts of the refit oracle: whom it asks, its solve, its AUC, beside other software."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import zscore
from sklearn.metrics import roc_auc_score
from torch import nn

from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.evaluator import refit
from recbole_unlearn.evaluator.halves import halves_of
from recbole_unlearn.evaluator.mio import Rows, blind_by_construction
from recbole_unlearn.evaluator.refit import fresh_scores, refit_oracle, user_aucs
from recbole_unlearn.evaluator.verdict import judged, notes_of_refit, notes_of_verdict, power_of_refit
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import InfluenceAdapter
from tests.evaluator.worlds import BPR, DIMS, EVERYBODY, RETAINED, WITHDRAWN, World, told


@pytest.fixture(scope="module")
def world():
    return World(0)


def test_scores_are_those_of_the_minimum_that_scipy_finds(world, monkeypatch):
    monkeypatch.setattr(refit, "_TOLERANCE", 1e-10)
    halves = world.halves(WITHDRAWN[:3])
    items = world.items(EVERYBODY).astype(np.float32).astype(float)
    found = fresh_scores(InfluenceAdapter.of(BPR(items)), halves, ridge=0.7)
    fitted, asked = halves.fitted, halves.asked
    for block in range(6):
        mine = fitted.users.numpy() == block
        q, t = items[fitted.items.numpy()[mine]], fitted.targets.numpy()[mine]
        assert t.sum() == 10
        assert len(t) == 50
        loss = lambda e, q=q, t=t: (np.logaddexp(0, q @ e) - t * (q @ e)).sum() + 0.35 * e @ e  # noqa: E731
        row = minimize(loss, np.zeros(DIMS), tol=1e-12).x
        of_block = asked.users.numpy() == block
        expected = items[asked.items.numpy()[of_block]] @ row
        np.testing.assert_allclose(found[of_block], expected, atol=1e-4)  # float32 rows


def test_neumf_scores_are_those_of_its_own_forward_at_a_minimum(trained, monkeypatch):
    monkeypatch.setattr(refit, "_TOLERANCE", 1e-9)
    model, rows = trained.model.eval(), trained.dataset.interactions()
    pairs, test = (Rows(part.users, part.items) for part in (rows, trained.dataset.interactions(2)))
    halves = halves_of(pairs.where(rows.users == rows.users[0]), test, pairs, rows, 4, 1)
    adapter = InfluenceAdapter.of(model)
    solved = []
    original = refit.newton
    monkeypatch.setattr(refit, "newton", lambda *given: solved.append(original(*given)) or solved[-1])
    scores = fresh_scores(adapter, halves)
    for block in (0, 1):
        row = solved[0].solution[block]
        mine = halves.asked.users == block
        logits = logits_of(model, row, halves.asked.items[mine])
        np.testing.assert_allclose(scores[mine.numpy()], logits.detach().numpy(), atol=1e-5)
        mine = halves.fitted.users == block
        value = objective(model, row, halves.fitted.items[mine], halves.fitted.targets[mine])
        for seed in range(20):  # no step near the minimum lowers the objective, the model's own forward being the judge
            step = 1e-2 * torch.randn(row.shape, generator=torch.Generator().manual_seed(seed))
            assert objective(model, row + step, halves.fitted.items[mine], halves.fitted.targets[mine]) > value


def logits_of(model, row, items):
    """Return NeuMF's logits with a user's row in the place of user 1's."""
    parts = row.split(model.mf_embedding_size)
    tables = model.user_mf_embedding.weight, model.user_mlp_embedding.weight
    kept = [table.data[1].clone() for table in tables]
    for table, part in zip(tables, parts, strict=True):
        table.data[1] = part
    with torch.no_grad():
        logits = model.forward(torch.ones_like(items), items)
    for table, part in zip(tables, kept, strict=True):
        table.data[1] = part
    return logits


def objective(model, row, items, targets):
    logits = logits_of(model, row, items).double()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets.double(), reduction="sum")
    return float(losses + 0.25 * row.double().square().sum())


def test_aucs_are_scikit_learns_and_weights_the_inverse_null_variance(world):
    halves = world.halves(WITHDRAWN[:4])
    scores = np.round(np.random.default_rng(0).normal(size=len(halves.asked)), 1)  # with ties
    aucs, weights = user_aucs(halves, scores)
    blocks, labels = halves.asked.users.numpy(), halves.asked.targets.numpy()
    for user in range(4):
        both = [roc_auc_score(labels[blocks == block], scores[blocks == block]) for block in (2 * user, 2 * user + 1)]
        assert aucs[user] == pytest.approx(np.mean(both))  # halves of 20 rows are alike in size
    n, m = 20, (halves.asked.targets[halves.asked.users == 0] == 0).sum().item()
    assert weights[0] == pytest.approx(n * m / (n + m + 1))


def test_the_pooled_auc_is_scikit_learns_of_z_scores_within_halves(world):
    """Each half has its own scale and centre; pooled raw scores, or ones that are centred alone, have another AUC."""
    halves = world.halves(WITHDRAWN[:4])
    blocks, labels = halves.asked.users.numpy(), halves.asked.targets.numpy()
    raw = np.random.default_rng(0).normal(size=len(blocks)) + 0.5 * labels
    scores = raw * np.array([0.1, 1, 10, 2, 0.3, 5, 1, 7])[blocks] + 3 * blocks
    expected, centred = np.empty((2, len(scores)))
    for block in np.unique(blocks):
        mine = blocks == block
        expected[mine], centred[mine] = zscore(scores[mine]), scores[mine] - scores[mine].mean()
    found = refit._pooled_auc(halves, scores)
    assert found == pytest.approx(roc_auc_score(labels, expected), abs=1e-12)
    for other in (scores, centred):
        assert abs(found - roc_auc_score(labels, other)) > 0.005
    alike = scores.copy()
    alike[blocks == 0] = 4.0  # a half whose scores are all the same tells nothing and harms nothing
    expected[blocks == 0] = 0.0
    assert refit._pooled_auc(halves, alike) == pytest.approx(roc_auc_score(labels, expected), abs=1e-12)


def test_scores_turned_round_turn_the_auc_round(world):
    halves = world.halves(WITHDRAWN)
    scores = np.random.default_rng(0).normal(size=len(halves.asked))
    np.testing.assert_allclose(user_aucs(halves, scores)[0], 1 - user_aucs(halves, -scores)[0])


def test_halves_part_the_rows_and_negatives_are_nobodys(world):
    halves = world.halves(WITHDRAWN)
    fitted, asked = halves.fitted, halves.asked
    known = {(u, i) for part in (world.train, world.test) for u, i in zip(part.users, part.items, strict=True)}
    for place, user in enumerate(halves.users):
        trained = set(world.train.items[world.train.users == user]) - set(world.test.items[world.test.users == user])
        sides = [
            set(fitted.items[(fitted.users == 2 * place + half) & (fitted.targets == 1)].tolist()) for half in (0, 1)
        ]
        assert sides[0] | sides[1] == trained
        assert not sides[0] & sides[1]
        assert len(sides[0]) == len(trained) // 2
        for half in (0, 1):
            mine = asked.items[(asked.users == 2 * place + half) & (asked.targets == 1)].tolist()
            assert set(mine) == sides[1 - half]
            drawn = fitted.items[(fitted.users == 2 * place + half) & (fitted.targets == 0)].tolist()
            assert len(drawn) == 4 * len(sides[half])
            assert not {(user, item) for item in drawn} & known


def test_a_question_does_not_depend_on_order_or_on_other_users(world):
    order = np.random.default_rng(3).permutation(len(world.train.users))
    one = world.halves(WITHDRAWN)
    two = world.halves(
        WITHDRAWN, group=world.train.where(order).where(np.isin(world.train.users[order], WITHDRAWN[:5]))
    )
    mine = one.fitted.users < 10
    assert torch.equal(one.fitted.items[mine].sort().values, two.fitted.items.sort().values)


def test_who_has_few_rows_is_not_asked_and_counted(world):
    few = np.isin(world.train.users, [1, 2, 3, 4]) & (world.train.users > 1)
    first = np.flatnonzero(world.train.users == 1)
    group = Rows(
        np.append(world.train.users[few], [1, 1, 1]), np.append(world.train.items[few], world.train.items[first[:3]])
    )
    halves = world.halves(None, group=group)
    assert halves.users.tolist() == [2, 3, 4]
    assert halves.candidates == 4
    answer = refit_oracle(BPR(world.base), replace(world.question, withdrawn=halves), 1)
    assert answer["auc"] is None
    assert "3 of 4 users who withdrew have 4 withdrawn and 2 test rows or more; 5 are needed" in answer["reason"]


def test_repeated_pairs_count_once_and_pairs_of_both_parts_not_at_all(world):
    twice = Rows(*(np.concatenate([column, column]) for column in (world.train.users, world.train.items)))
    halves = world.halves(WITHDRAWN, group=twice.where(np.isin(twice.users, WITHDRAWN)))
    assert torch.equal(halves.fitted.items, world.halves(WITHDRAWN).fitted.items)
    test = Rows(np.append(world.test.users, 1), np.append(world.test.items, world.train.items[0]))
    halves = world.halves(WITHDRAWN, test=test)
    assert world.train.items[0] not in halves.asked.items[halves.asked.users < 2]


def test_only_so_many_are_asked(world):
    halves = world.halves(RETAINED, most=7)
    assert len(halves.users) == 7
    assert halves.candidates == len(RETAINED)
    assert set(halves.users) <= set(RETAINED)


def assess(trained, request, **keys):
    config = trained.config
    for key, value in keys.items():
        config[key] = value
    return Assessment(config, trained.dataset, request.resolve(trained.dataset.interactions(), "train"))


def test_whole_users_of_a_random_split_are_calibrated(trained):
    question = assess(trained, WithdrawalRequest.random(30.0, 1)).refit_question
    assert question.calibrated
    assert len(question.withdrawn.users) == len(question.retained.users) == 18
    assert not np.intersect1d(question.withdrawn.users, question.retained.users).size


def test_an_assessment_asks_it_with_the_strong_oracle(trained):
    assessment = assess(trained, WithdrawalRequest.random(30.0, 1), mio_protocols=["strong", "refit"])
    found = assessment._oracles(trained.model)
    assert list(found) == ["strong", "refit"]
    assert found["refit"]["users"] == found["refit"]["of"] == found["refit"]["retained"]["users"] == 18
    assert found["refit"]["calibrated"]
    assert found["strong"]["blind"] == ""


def test_interactions_and_items_are_not(trained):
    rows = trained.dataset.interactions()
    pairs = [(rows.user_tokens[u], rows.item_tokens[i]) for u, i in zip(rows.users[:40], rows.items[:40], strict=True)][
        ::2
    ]
    assert not assess(trained, WithdrawalRequest.interactions(pairs)).refit_question.calibrated
    items = WithdrawalRequest.items(rows.item_tokens[1:15])
    assert not assess(trained, items).refit_question.calibrated


def test_a_split_by_time_is_not(trained, monkeypatch):
    monkeypatch.setitem(trained.config.final_config_dict["eval_args"], "order", "TO")
    assert not assess(trained, WithdrawalRequest.random(30.0, 1)).refit_question.calibrated


def test_the_note_says_whom_it_asked_and_what_speaks(world):
    results = told(world, Original=world.items(EVERYBODY), Retrain=world.items(RETAINED))
    for calibrated, sentence in (
        (True, "For a model that was never trained on their rows it is .5."),
        (False, "Only the difference to Retrain"),
    ):
        results["Original"]["mio"]["refit"]["calibrated"] = calibrated
        report = {"methods": judged(results), "oracle_power": {"refit": power_of_refit(results)}}
        (note,) = notes_of_refit(report)
        assert note.startswith("The refit oracle asked 30 of 30 users who withdrew.")
        assert sentence in note


def test_rows_that_say_nothing_are_named(trained, fresh_copy):
    model, tokens = fresh_copy.model, trained.dataset.interactions().user_tokens
    users = np.array([3, 5])
    adapter = InfluenceAdapter.of(model)
    assert blind_by_construction(model, users, tokens, 7) == ""
    for table in adapter.user_tables:
        table.weight.data[users] = table.weight.data[3].clone()
    assert "share one embedding" in blind_by_construction(model, users, tokens, 7)
    drawn = draw_rows(adapter, adapter.user_tables, tokens[users], 7)
    for table, part in zip(adapter.user_tables, drawn.split(8, dim=1), strict=True):
        table.weight.data[users] = part
    assert "untrained draws" in blind_by_construction(model, users, tokens, 7)
    assert blind_by_construction(model, users, tokens, 8) == ""
    report = {"methods": {"ResetUE": {"mio": {"strong": {"blind": "the rows are bare draws"}}}}}
    assert notes_of_verdict(report) == [
        "The strong oracle is nearly blind by construction to ResetUE: the rows are bare draws."
    ]


@pytest.mark.parametrize(
    ("strong", "complete", "word"),
    [
        ((-0.02, 0.01, 0.03), True, "complete."),
        ((-0.154, -0.068, 0.009), False, "not shown, an interval that has 0 in it"),
        ((0.02, 0.06, 0.1), False, "not complete."),
        ((-0.02, 0.01, 0.03), None, "cannot be called complete"),
    ],
)
def test_an_interval_that_is_only_wide_is_not_said_to_remember(strong, complete, word):
    looks = {"strong": dict(zip(("low", "excess", "high"), strong, strict=True))}
    (note,) = notes_of_verdict({"methods": {"SCIF": {"remembers": looks, "complete": complete}}})
    assert f"within 0.05: {word}" in note


def test_a_model_without_adapter_says_so(world):
    class Unheard(nn.Linear):
        pass

    answer = refit_oracle(Unheard(2, 2), world.question, 1)
    assert answer["auc"] is None
    assert "no adapter" in answer["reason"]
