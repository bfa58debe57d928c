import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest, run_unlearn
from recbole_unlearn.data.sample import SAMPLES, Drawn
from recbole_unlearn.evaluator.cka import debiased_cka, linear_cka, relative_cka
from recbole_unlearn.evaluator.closeness import activity, distance, norm_attack, parameter_groups, top10
from recbole_unlearn.evaluator.forgetting import mean_loss, mean_with_interval, rank, relearn_time, score_attack, taste
from recbole_unlearn.evaluator.ranked_lists import RankedLists, ndcg_of_lists, percentiles
from recbole_unlearn.evaluator.utility import evaluate_by_group
from recbole_unlearn.evaluator.witnesses import WITNESSES, witnesses_of
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.quick_start import Assessment
from recbole_unlearn.shards.partition import PARTITIONS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def served(ndcg, top=None, owners=(), withdrawn=(), scores=(), shares=()):
    users = np.arange(1, len(ndcg) + 1)
    top = np.tile(np.arange(1, 11), (len(users), 1)) if top is None else np.asarray(top)
    rows = [np.asarray(part) for part in (owners, withdrawn, scores, shares)]
    return RankedLists(users, top, np.asarray(ndcg, dtype=float), *rows)


def test_a_witness_a_sample_and_a_partition_from_outside_can_be_chosen(make_config, monkeypatch, tmp_path):
    monkeypatch.setitem(WITNESSES, "mine", lambda evidence: {"items": len(evidence.groups["items"])})
    monkeypatch.setitem(SAMPLES, "first", lambda rows, alpha, rng: Drawn(users=(rows.user_tokens[1],)))
    monkeypatch.setitem(PARTITIONS, "even", lambda rows, shards, seed: rows.users % shards)
    keys = {
        "methods": ["Retrain", "RecEraser"],
        "witnesses": ["mine"],
        "withdraw_sample": "first",
        "output_dir": str(tmp_path),
    }
    config = make_config("BPR", epochs=1, shard_partition="even", shard_count=2, parallel_jobs=1, **keys)
    report = run_unlearn("BPR", "tiny", config_dict=config.external_config_dict, saved=False, argv=())["unlearn"]
    assert report["request"]["n_users"] == 1
    assert report["methods"]["Retrain"]["witnesses"]["mine"]["items"] > 1
    with pytest.raises(ConfigError, match="witnesses is 'yours'; allowed: taste"):
        make_config(witnesses=["yours"])


def test_taste_is_the_excess_over_popularity(rng):
    told = taste(served([0.5, 0.2, 0.9]), served([0.4, 0.4, 0.9]), np.array([1, 2]), rng)
    assert told["mean"] == pytest.approx((0.1 - 0.2) / 2)
    assert told["low"] == pytest.approx(-0.2)
    assert told["high"] == pytest.approx(0.1)
    assert taste(served([0.5]), served([0.4]), np.array([9]), rng)["mean"] is None


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error(rng):
    values = np.random.default_rng(1).normal(3, 2, size=400)
    told = mean_with_interval(values, rng)
    half = 1.96 * values.std() / 20
    assert told["mean"] == pytest.approx(values.mean())
    assert told["high"] - told["mean"] == pytest.approx(half, rel=0.1)  # 1,000 resamples: quantiles to 5 %
    assert told["mean"] - told["low"] == pytest.approx(half, rel=0.1)


def test_score_attack_by_hand(rng):
    """Three of the four pairs (withdrawn, test) are in the right order."""
    told = score_attack(served([0.0], owners=[1, 1, 1, 1], withdrawn=[1, 1, 0, 0], scores=[4.0, 2.0, 3.0, 1.0]), rng)
    assert told["auc"] == 0.75
    assert score_attack(served([0.0], owners=[1], withdrawn=[1], scores=[4.0]), rng)["auc"] is None


def test_rank_is_the_mean_over_users_of_their_means(rng):
    told = rank(served([0, 0], owners=[1, 1, 2, 2], withdrawn=[1, 1, 1, 0], shares=[1.0, 0.5, 0.25, 0.1]), rng)
    assert told["mean"] == pytest.approx((0.75 + 0.25) / 2)
    assert told["test"] == pytest.approx(0.1)


def test_percentiles_count_ties_half():
    scores = torch.tensor([[-torch.inf, 1.0, 1.0, 1.0, 5.0], [0.0, 4.0, 3.0, 2.0, 1.0]])
    shares = percentiles(scores, torch.tensor([1, 0, 1]), torch.tensor([4.0, 1.0, 1.0]))
    assert shares.tolist() == pytest.approx([1.0, 1 / 3, 0.25])


def test_ndcg_of_lists_by_hand():
    top = torch.tensor([[1, 2, 3], [4, 5, 6]])
    found = ndcg_of_lists(top, torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([1, 3, 6, 7, 8, 9]), 2)
    best = [1 + 1 / np.log2(3), 1 + 1 / np.log2(3) + 0.5]
    assert found.tolist() == pytest.approx([1.5 / best[0], 0.5 / best[1]])


def test_linear_cka_knows_rotation_and_scale_and_nothing_else(rng):
    x = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    other = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert linear_cka(x, 3 * x @ turn + 7) == pytest.approx(1, abs=1e-12)
    assert debiased_cka(x, 3 * x @ turn) == pytest.approx(1, abs=1e-12)
    assert linear_cka(x, other) < 0.1
    assert linear_cka(torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([[1.0], [1.0], [-2.0]])) == pytest.approx(0)


def test_few_rows_inflate_cka_and_not_the_debiased_form():
    """Independent 47 x 128 matrices: about 128 / (128 + 47) = .73; the debiased form scatters around 0."""
    draws = [torch.randn(47, 128, generator=torch.Generator().manual_seed(seed)) for seed in range(10)]
    assert linear_cka(draws[0], draws[1]) == pytest.approx(0.73, abs=0.03)
    found = [debiased_cka(first, second) for first, second in zip(draws[::2], draws[1::2], strict=True)]
    assert np.mean(found) == pytest.approx(0, abs=0.05)


def test_debiased_cka_against_its_sums_over_distinct_indices():
    """The unbiased HSIC is the mean over distinct (i, j, q, r) of k_ij (m_ij + m_qr - 2 m_iq)."""
    from itertools import permutations

    x, y = (torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))

    def hsic(k, m):
        terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(6), 4)]
        return sum(terms) / len(terms)

    k, m = x @ x.T, y @ y.T
    expected = hsic(k, m) / (hsic(k, k) * hsic(m, m)).sqrt()
    assert debiased_cka(x, y) == pytest.approx(float(expected), abs=1e-10)


def test_relative_cka_divides_by_the_mean_over_pairs():
    models = [torch.randn(30, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    pairs = [linear_cka(models[i], models[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert relative_cka(0.3, models) == pytest.approx(0.3 / np.mean(pairs))


def test_norm_attack_is_symmetric():
    groups = {"users_withdrawn": torch.tensor([[3.0, 4.0], [0.0, 6.0]]), "users_retained": torch.eye(2)}
    assert norm_attack(groups)["auc"] == 1.0
    swapped = {"users_withdrawn": groups["users_retained"], "users_retained": groups["users_withdrawn"]}
    assert norm_attack(swapped)["auc"] == 1.0
    assert norm_attack({**groups, "users_retained": torch.empty(0, 2)})["auc"] is None


def test_distance_is_relative_by_group():
    told = distance({"items": torch.tensor([[3.0, 0.0]])}, {"items": torch.tensor([[0.0, 4.0]])})
    assert told == {"items": pytest.approx(5 / 4)}


def test_groups_hold_every_parameter_once(trained):
    model = trained.model
    users = np.arange(1, model.n_users)
    groups = parameter_groups(model, users[:7], users[7:])
    assert groups["users_withdrawn"].shape == (7, 16)
    held = sum(values.numel() for values in groups.values())
    padding = 4 * 8  # row 0 of four tables of width 8
    assert held + padding == sum(parameter.numel() for parameter in model.parameters())


def test_top10_overlap_by_hand():
    mine = served([0, 0, 0], top=[[1, 2], [3, 4], [5, 6]])
    theirs = served([0, 0, 0], top=[[2, 1], [3, 9], [7, 8]])
    assert top10(mine, theirs, np.array([3])) == {"retained": 0.75, "withdrawn": 0.0}


def test_activity_parts_the_most_active_twentieth():
    """20 retained users: the one with most rows is the active part."""
    ndcg = np.full(21, 0.5)
    ndcg[4] = 0.9
    members = np.concatenate([np.arange(1, 22), [5, 5, 21, 21, 21]])  # user 21 has most rows, but withdrew some
    told = activity(served(ndcg), served(ndcg + 0.1), members, np.array([21]))
    assert told == pytest.approx({"active": 0.9, "rest": 0.5, "active_loss": 0.1, "rest_loss": 0.1})


@pytest.fixture
def assessment(trained):
    withdrawal = WithdrawalRequest.users(["u3", "u4", "u5", "u8"]).resolve(trained.dataset.interactions())
    return Assessment(trained.config, trained.dataset, withdrawal), withdrawal


def test_every_witness_speaks_on_a_run(trained, fresh_copy, assessment, monkeypatch):
    assess, withdrawal = assessment
    retrain = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
    retrain.unlearn(withdrawal.request, "Retrain")
    fresh_copy.unlearn(withdrawal.request, "ResetUE")
    monkeypatch.setitem(trained.config.final_config_dict, "witnesses", list(WITNESSES))
    told = assess.witnesses({"Original": trained, "Retrain": retrain, "ResetUE": fresh_copy})
    assert all(set(found) == set(WITNESSES) for found in told.values())
    assert told["Retrain"]["distance"] == {
        name: 0.0 for name in ("users_withdrawn", "users_retained", "items", "shared")
    }
    assert told["Retrain"]["top10"] == {"retained": 1.0, "withdrawn": 1.0}
    assert told["Retrain"]["cka"]["items"]["cka"] == pytest.approx(1)
    assert told["Retrain"]["activity"]["rest_loss"] == 0
    assert told["Original"]["relearn"]["epochs"] == 0
    assert told["ResetUE"]["relearn"]["epochs"] > 0
    assert told["Original"]["rank"]["mean"] > told["Retrain"]["rank"]["mean"]
    assert told["ResetUE"]["distance"]["items"] == told["Original"]["distance"]["items"] > 0


def test_the_served_lists_agree_with_recboles_metrics(trained, assessment):
    assess, _ = assessment
    gone = assess.membership.withdrawn
    groups, found = evaluate_by_group(trained, assess.train_data, assess.test_data, gone.users, gone.items)
    mine = found.of(assess.withdrawn_users)
    assert found.ndcg[mine].mean() == pytest.approx(groups["withdrawn"]["ndcg@10"], abs=1e-6)  # rounded to six places
    assert found.ndcg[~mine].mean() == pytest.approx(groups["retained"]["ndcg@10"], abs=1e-6)
    assert found.withdrawn.sum() == len(gone.users)  # withdrawn items are ranked


def test_a_model_scores_all_items_once(trained, assessment, monkeypatch):
    batches = []
    score = trained._full_sort_batch_eval
    monkeypatch.setattr(trained, "_full_sort_batch_eval", lambda batch: batches.append(1) or score(batch))
    collector = trained.eval_collector
    assess, _ = assessment
    assess(trained)
    assess.witnesses({"Original": trained})
    assert len(batches) == len(assess.test_data)
    assert trained.eval_collector is collector


def test_without_retrain_a_witness_says_what_is_missing(trained, assessment):
    told = assessment[0].witnesses({"Original": trained})["Original"]
    assert "Retrain" in told["distance"]["reason"]
    assert "active_loss" not in told["activity"]


def test_users_without_a_free_item_leave_relearning_unmeasured(trained, assessment):
    assess, withdrawal = assessment
    user = int(withdrawal.users[0])
    rows = trained.dataset.interactions()
    everything = np.arange(1, len(rows.item_tokens))
    full = replace(
        rows,
        users=np.concatenate([rows.users, np.full_like(everything, user)]),
        items=np.concatenate([rows.items, everything]),
    )
    setting = replace(assess.witness_setting(), rows=full)
    told = witnesses_of(["relearn"], {"Original": trained}, setting)["Original"]["relearn"]
    assert "no negative can be drawn" in told["reason"]


def test_relearning_stops_at_the_originals_loss(trained, fresh_copy, assessment):
    assess, withdrawal = assessment
    fresh_copy.unlearn(withdrawal.request, "ResetUE")
    rows = assess.witness_setting().withdrawn_rows(trained.model)
    assert len(rows) == 2 * withdrawal.forget.sum()
    target = mean_loss(trained.model, rows)
    before = copy.deepcopy(fresh_copy.model.state_dict())
    told = relearn_time(fresh_copy.model, rows, target, 64, 0.01)
    assert told["loss"] > target
    assert told["reached"]
    assert relearn_time(fresh_copy.model, rows, -1.0, 10**6, 1e-9)["reached"] is False
    assert all(torch.equal(value, before[name]) for name, value in fresh_copy.model.state_dict().items())


def test_retrain_again_is_another_exact_model(trained, assessment):
    _, withdrawal = assessment
    models = {}
    for method in ("Retrain", "RetrainAgain"):
        unlearner = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
        unlearner.unlearn(withdrawal.request, method)
        models[method] = unlearner.model
    first, second = (model.item_mf_embedding.weight for model in models.values())
    assert not torch.allclose(first, second)
    assert trained.config["seed"] == 2020


def test_test_rows_of_others_are_no_yardstick(rng):
    """Of a user whose withdrawn rows are not ranked, as those of a withdrawn item, only test rows are left."""
    owners, withdrawn, scores = [1, 1, 2, 2, 2], [1, 0, 0, 0, 0], [4.0, 5.0, 1.0, 2.0, 3.0]
    lists = served([0.0], owners=owners, withdrawn=withdrawn, scores=scores, shares=[0.2, 0.4, 1, 1, 1])
    told = score_attack(lists, rng)
    assert (told["auc"], told["auc_low"], told["auc_high"]) == (0.0, 0.0, 0.0)
    assert rank(lists, rng)["test"] == 0.4
    alone = served([0.0], owners=[1, 2], withdrawn=[1, 0], scores=[4.0, 5.0], shares=[0.2, 0.4])
    assert score_attack(alone, rng)["auc"] is None
    assert rank(alone, rng)["test"] is None
