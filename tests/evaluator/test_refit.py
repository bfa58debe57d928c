"""The refit oracle in worlds in which the truth is known, and its parts against other software."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from torch import nn

from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.withdrawal import Interactions
from recbole_unlearn.evaluator import refit
from recbole_unlearn.evaluator.halves import halves_of
from recbole_unlearn.evaluator.mio import Rows, blind_by_construction
from recbole_unlearn.evaluator.refit import RefitQuestion, fresh_scores, refit_oracle, user_aucs
from recbole_unlearn.evaluator.verdict import judged, notes_of_refit, notes_of_verdict, power_of_refit
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import ModelAdapter

USERS, ITEMS, DIMS, GONE = 60, 400, 32, 30


class BPR(nn.Module):
    """Items that are what a test says; the adapter finds the model by its name."""

    def __init__(self, items):
        super().__init__()
        self.user_embedding = nn.Embedding(USERS + 1, items.shape[1])
        self.item_embedding = nn.Embedding.from_pretrained(torch.as_tensor(items, dtype=torch.float32), freeze=False)


class World:
    """Users like items by taste, and a random half of what they like is their training part.

    ``items(kept)`` are the vectors of a training in which each user of ``kept`` pulled its training items towards a direction
    of its own, as gradient descent does; test items were pulled by nobody.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.base = rng.normal(size=(ITEMS + 1, DIMS)) / math.sqrt(DIMS)
        tastes = rng.normal(size=(USERS, DIMS))
        liked = np.argsort(-(self.base[1:] @ tastes.T + 0.5 * rng.normal(size=(ITEMS, USERS))), axis=0)[:40].T + 1
        liked = rng.permuted(liked, axis=1)
        users = np.repeat(np.arange(1, USERS + 1), 20)
        self.train, self.test = Rows(users, liked[:, :20].ravel()), Rows(users, liked[:, 20:].ravel())
        self.pulls = rng.normal(size=(USERS + 1, DIMS)) / math.sqrt(DIMS)
        tokens = [
            np.array(["[PAD]", *(f"{kind}{n}" for n in range(size))]) for kind, size in (("u", USERS), ("i", ITEMS))
        ]
        self.table = Interactions(self.train.users, self.train.items, *tokens, {}, {})

    def items(self, kept, strength=0.4):
        found = self.base.copy()
        rows = np.isin(self.train.users, kept)
        np.add.at(found, self.train.items[rows], strength * self.pulls[self.train.users[rows]])
        return found

    def halves(self, users, **changes):
        known = Rows(
            *(np.concatenate([getattr(part, ids) for part in (self.train, self.test)]) for ids in ("users", "items"))
        )
        group = self.train.where(np.isin(self.train.users, users))
        return halves_of(
            **{
                "group": group,
                "test": self.test,
                "known": known,
                "table": self.table,
                "negatives": 4,
                "seed": 1,
                **changes,
            }
        )

    @property
    def question(self):
        return RefitQuestion(self.halves(WITHDRAWN), self.halves(RETAINED, most=GONE), calibrated=True)


WITHDRAWN, RETAINED = np.arange(1, GONE + 1), np.arange(GONE + 1, USERS + 1)
EVERYBODY = np.arange(1, USERS + 1)


def told(world, **models):
    return {name: {"mio": {"refit": refit_oracle(BPR(items), world.question, 1)}} for name, items in models.items()}


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
        values, weights = user_aucs(halves, fresh_scores(ModelAdapter.of(BPR(one.items(RETAINED))), halves))
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
    assert any(note.startswith("The refit oracle cannot tell: it reads") for note in notes_of_refit(report))


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


def test_scores_are_those_of_the_minimum_that_scipy_finds(world, monkeypatch):
    monkeypatch.setattr(refit, "_TOLERANCE", 1e-10)
    halves = world.halves(WITHDRAWN[:3])
    items = world.items(EVERYBODY).astype(np.float32).astype(float)
    found = fresh_scores(ModelAdapter.of(BPR(items)), halves, ridge=0.7)
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
    adapter = ModelAdapter.of(model)
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
        (True, "A model that never saw their rows reads .5."),
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
    adapter = ModelAdapter.of(model)
    assert blind_by_construction(model, users, tokens, 7) == ""
    for table in adapter.user_tables:
        table.weight.data[users] = table.weight.data[3].clone()
    assert "share one row" in blind_by_construction(model, users, tokens, 7)
    drawn = draw_rows(adapter, adapter.user_tables, tokens[users], 7)
    for table, part in zip(adapter.user_tables, drawn.split(8, dim=1), strict=True):
        table.weight.data[users] = part
    assert "bare draws" in blind_by_construction(model, users, tokens, 7)
    assert blind_by_construction(model, users, tokens, 8) == ""
    report = {"methods": {"ResetUE": {"mio": {"strong": {"blind": "the rows are bare draws"}}}}}
    assert notes_of_verdict(report) == [
        "The strong oracle is nearly blind by construction to ResetUE: the rows are bare draws."
    ]


def test_a_model_without_adapter_says_so(world):
    class Unheard(nn.Linear):
        pass

    answer = refit_oracle(Unheard(2, 2), world.question, 1)
    assert answer["auc"] is None
    assert "no adapter" in answer["reason"]
