import numpy as np
import pytest
import torch
from sklearn.metrics import auc, roc_auc_score

from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator import attackers, crossfit, mio
from recbole_unlearn.evaluator.attackers import Schedule, ask, train_attackers
from recbole_unlearn.evaluator.crossfit import Fold, Points, auc_with_interval, folds_of, roc, weighted_auc
from recbole_unlearn.evaluator.mio import Membership, Rows, membership_oracle
from recbole_unlearn.model import adapter as adapters
from recbole_unlearn.trainer import train_model


class Planted(torch.nn.Module):
    """A model whose score of a pair is what the test planted."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)


class PlantedAdapter(adapters.ScoringAdapter):
    model_name = "Planted"

    def embeddings(self, users, items):
        noise = torch.Generator().manual_seed(1)
        shape = self.model.table.shape
        user, item = torch.randn(shape[0], 4, generator=noise), torch.randn(shape[1], 4, generator=noise)
        return user[users], item[items]

    def logits(self, users, items):
        return self.model.table[users, items].detach()


def world(request_users, n_users=80, n_items=60, seed=0):
    """Return membership data: each user has 20 training and 20 test items; some users withdrew."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(n_items)[:40] for _ in range(n_users)]
    users = np.repeat(np.arange(n_users), 20)
    train, test = (np.concatenate([c[part] for c in chosen]) for part in (slice(20), slice(20, 40)))
    gone = np.isin(users, request_users)
    data = Membership(Rows(users[~gone], train[~gone]), Rows(users, test), Rows(users[gone], train[gone]))
    return data, users, train


GONE = np.arange(10)


def test_a_network_has_the_layers_that_it_says():
    """Hidden layers of 64, 16 and 4, and one output each for members and others."""
    network = attackers.Attackers(torch.zeros(3, 9), torch.ones(3, 9), torch.Generator().manual_seed(1))
    assert [tuple(weight.shape) for weight in network.weights] == [(3, 9, 64), (3, 64, 16), (3, 16, 4), (3, 4, 2)]
    assert network(torch.zeros(3, 5, 9)).shape == (3, 5, 2)


def test_planted_memory_is_found():
    data, users, train = world(GONE)
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    table[users, train] += 3
    figures = membership_oracle(Planted(table), data, "strong", seed=1)
    assert figures["auc"] > 0.95
    assert figures["acc"] > 0.85
    assert figures["auc_low"] <= figures["auc"] <= figures["auc_high"]


def test_memory_of_the_others_only_reads_as_forgotten():
    data, users, train = world(GONE)
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    stays = ~np.isin(users, GONE)
    table[users[stays], train[stays]] += 3
    figures = membership_oracle(Planted(table), data, "strong", seed=1)
    assert abs(figures["auc"] - 0.5) < 0.08  # 200 against 200 rows: standard error .03
    assert figures["auc_low"] < 0.5 < figures["auc_high"]


def test_noise_stays_at_one_half():
    data, _, _ = world(GONE)
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(2))
    assert abs(membership_oracle(Planted(table), data, "strong", seed=1)["auc"] - 0.5) < 0.08


def blind_first(monkeypatch, times):
    """Make the last hidden layer of network 1 silent for good in the first draws of weights."""
    left = [times]

    class Silent(attackers.Attackers):
        def __init__(self, mean, scale, generator):
            super().__init__(mean, scale, generator)
            if left[0]:
                left[0] -= 1
                self.biases[2].data[min(1, len(mean) - 1)] = -1e6

    monkeypatch.setattr(attackers, "Attackers", Silent)


def test_a_network_that_is_blind_to_forgotten_rows_is_drawn_again_and_the_others_keep_their_bits(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    features = torch.randn(400, 6, generator=generator)
    features[:, 0] += 3 * labels
    rows = [torch.randperm(400, generator=generator)[:300] for _ in range(3)]
    schedule = Schedule("adam", learning_rate=1e-2, epochs=8, batch_size=64, rows_per_class=150, patience=4)

    def answers():
        networks = train_attackers(features, labels, rows, schedule, torch.Generator().manual_seed(1))
        return [ask(networks, torch.tensor([number]), features) for number in range(3)]

    whole = answers()
    blind_first(monkeypatch, 2)
    again = answers()
    assert again[0].equal(whole[0])
    assert again[2].equal(whole[2])
    assert roc_auc_score(labels, again[1]) > 0.95
    blind_first(monkeypatch, 99)
    assert answers()[1].unique().numel() == 1  # what it is without the new draw: one answer for every row


def test_the_same_seed_gives_the_same_figures():
    data, _, _ = world(GONE)
    model = Planted(torch.randn(80, 60, generator=torch.Generator().manual_seed(2)))
    assert membership_oracle(model, data, "strong", 3) == membership_oracle(model, data, "strong", 3)


class Tagged(PlantedAdapter):
    """Features that say which pair they belong to, so that what a network saw can be read off."""

    model_name = "TaggedModel"

    def embeddings(self, users, items):
        return users.unsqueeze(1).float(), items.unsqueeze(1).float()


class TaggedModel(Planted):
    pass


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("by", ["users", "items"])
def test_no_row_of_who_is_asked_trains_or_scales_the_network_that_is_asked(partial, by, monkeypatch):
    data, users, train = world(GONE)
    whole = np.isin(users if by == "users" else train, GONE)
    gone = np.arange(len(users)) % 4 == 0 if partial else whole  # partial: every user, or item, loses a quarter
    pairs = Rows(users, train)
    data = Membership(pairs.where(~gone), data.others, pairs.where(gone), by)
    seen, asked = [], {}

    def spy_train(features, labels, rows, schedule, generator):
        seen.append([features[part] for part in rows])
        return train_attackers(features, labels, rows, schedule, generator)

    def spy_ask(attackers, networks, features):
        for network in networks.tolist():
            rows = seen[-1][network]
            assert torch.allclose(attackers.mean[network, 0], rows.mean(dim=0), rtol=1e-4)
            column = 0 if by == "users" else 1
            assert not np.intersect1d(rows[:, column], features[:, column]).size
            asked.setdefault(len(seen), set()).update(features[:, column].int().tolist())
        return ask(attackers, networks, features)

    monkeypatch.setattr(crossfit, "train_attackers", spy_train)
    monkeypatch.setattr(crossfit, "ask", spy_ask)
    membership_oracle(TaggedModel(torch.zeros(80, 60)), data, "paper", seed=1)
    assert asked[1] == set(data.asked.tolist())
    assert len(seen[0]) == (5 if partial else 1)
    assert (2 in asked) == (len(data.whole) > 0)


def test_a_leaking_fold_cannot_be_made():
    with pytest.raises(ValueError, match="owner who is asked"):
        Fold(asked=np.array([3, 5]), seen=np.array([0]), owners=np.array([5]))


def test_folds_are_balanced_and_ask_everybody_once():
    rng = np.random.default_rng(0)
    owners = rng.integers(40, size=900)
    training = Points(owners, (rng.random(900) < 0.7).astype(int), torch.zeros(900, 1))
    folds = folds_of(training, np.arange(12), rng)
    assert sorted(np.concatenate([fold.asked for fold in folds]).tolist()) == list(range(12))
    for fold in folds:
        assert training.labels[fold.seen].mean() == 0.5
        assert len(np.unique(fold.seen)) == len(fold.seen)


def test_partial_requests_are_cross_fitted_and_found():
    data, users, train = world(GONE)
    gone = np.arange(len(users)) % 20 < 5
    data = Membership(Rows(users[~gone], train[~gone]), data.others, Rows(users[gone], train[gone]))
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    table[users, train] += 3
    assert membership_oracle(Planted(table), data, "strong", seed=1)["auc"] > 0.95


def test_nobody_to_ask_has_a_reason():
    data, _, _ = world(GONE)
    nobody = Membership(data.members, data.others, Rows(np.array([], dtype=int), np.array([], dtype=int)))
    figures = membership_oracle(Planted(torch.zeros(80, 60)), nobody, "strong", 1)
    assert figures["auc"] is None
    assert "no user has both" in figures["reason"]
    assert figures["whole_user"]["auc"] is None


def test_a_model_without_adapter_has_a_reason():
    figures = membership_oracle(torch.nn.Linear(2, 2), world(GONE)[0], "strong", 1)
    assert figures["auc"] is None
    assert "no adapter" in figures["reason"]


def test_too_few_training_points_have_a_reason():
    data, _, _ = world(GONE, n_users=11)
    few = Membership(data.members.where(np.arange(9)), data.others, data.withdrawn)
    figures = membership_oracle(Planted(torch.zeros(80, 60)), few, "strong", 1)
    assert figures["auc"] is None
    assert "only 9 points" in figures["reason"]
    assert "only 1 points" in figures["whole_user"]["reason"]


@pytest.mark.parametrize("n_users", [12, 13])
def test_few_rows_still_give_a_number(n_users):
    """Two or three users of 20 rows train: 40 rows a class, a held-out part of 8."""
    data, users, train = world(GONE, n_users=n_users)
    table = torch.zeros(80, 60)
    table[users, train] = 1
    figures = membership_oracle(Planted(table), data, "strong", 1)
    assert 0 <= figures["auc_low"] <= figures["auc"] <= figures["auc_high"] <= 1
    assert 0 < figures["acc"] < 1
    assert "reason" not in figures


def test_one_user_alone_is_asked():
    data, users, train = world(np.array([4]))
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    table[users, train] += 2
    figures = membership_oracle(Planted(table), data, "strong", seed=1)
    assert figures["auc"] > 0.75
    assert figures["auc_low"] < figures["auc_high"]  # 20 against 20 rows are drawn


def test_users_without_test_rows_are_left_out():
    data, users, train = world(GONE)
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    stays = ~np.isin(users, GONE)
    table[users[stays], train[stays]] += 3
    table[0, train[users == 0]] += 50  # remembered, but without test rows there is nothing to compare with
    blind = Membership(data.members, data.others.where(data.others.users != 0), data.withdrawn)
    assert sorted(blind.asked.tolist()) == list(range(1, 10))
    assert abs(membership_oracle(Planted(table), blind, "strong", seed=1)["auc"] - 0.5) < 0.08


def test_whole_users_are_found_where_their_rows_are_remembered():
    data, users, train = world(np.arange(20))
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    forgotten = membership_oracle(Planted(table), data, "strong", seed=1)["whole_user"]
    table[users, train] += 3
    remembered = membership_oracle(Planted(table), data, "strong", seed=1)["whole_user"]
    assert remembered["auc"] > 0.95
    assert forgotten["auc"] < 0.75  # 20 against 20 points: standard error .09, so .5 stays below .5 + 2.8 x .09


def test_withdrawn_items_are_asked_about_beside_their_own_test_rows():
    data, users, train = world(GONE)
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    table[users, train] += 3
    table[:, GONE] += 100  # a look of its own for a withdrawn item must not count as memory
    gone = np.isin(train, GONE)
    pairs = Rows(users, train)
    data = Membership(pairs.where(~gone), data.others, pairs.where(gone), by="items")
    assert data.whole.tolist() == GONE.tolist()
    assert membership_oracle(Planted(table), data, "strong", seed=1)["whole_item"]["auc"] is not None
    table[users[gone], train[gone]] -= 3
    assert abs(membership_oracle(Planted(table), data, "strong", seed=1)["auc"] - 0.5) < 0.1


def test_the_interval_covers_the_spread_over_owners():
    """Owners whose points agree: 40 points of 8 owners are 8 facts, and the interval must be as wide as that."""
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(8), 10)
    labels = np.tile([0, 1], 40)
    answers = 0.6 * labels * (owners % 2) - 0.6 * labels * (1 - owners % 2) + 0.1 * rng.random(80)
    figures = auc_with_interval(Points(owners, labels, torch.zeros(80, 1)), answers, rng)
    assert figures["auc"] == pytest.approx(0.5, abs=0.1)
    assert figures["auc_high"] - figures["auc_low"] > 0.5


def test_the_oracle_sees_both_parts_of_neumf(trained):
    users, items = torch.tensor([1, 3, 3]), torch.tensor([2, 2, 5])
    pairs, model = Rows(users.numpy(), items.numpy()), trained.model.eval()
    tables = [getattr(model, f"{side}_{part}_embedding").weight for side in ("user", "item") for part in ("mf", "mlp")]
    user, item = torch.cat([t[users] for t in tables[:2]], dim=1), torch.cat([t[items] for t in tables[2:]], dim=1)
    score = model(users, items).unsqueeze(1)
    with torch.no_grad():
        assert torch.equal(mio._Features(model, "paper")(pairs), torch.cat([user, item], dim=1))
        expected = torch.cat([user, item, user * item, score], dim=1)
        assert torch.allclose(mio._Features(model, "strong")(pairs), expected, atol=1e-6)


def test_the_oracle_sees_lightgcns_ego_and_propagated_vectors(make_config):
    config = make_config("LightGCN", epochs=1)
    model = train_model(config, create_dataset(config)).model.eval()
    users, items = torch.tensor([1, 3, 3]), torch.tensor([2, 2, 5])
    with torch.no_grad():
        far_user, far_item = model.forward()
        user = torch.cat([model.user_embedding.weight[users], far_user[users]], dim=1)
        item = torch.cat([model.item_embedding.weight[items], far_item[items]], dim=1)
        score = (far_user[users] * far_item[items]).sum(dim=1, keepdim=True)
        expected = torch.cat([user, item, user * item, score], dim=1)
        found = mio._Features(model, "strong")(Rows(users.numpy(), items.numpy()))
    assert torch.allclose(found, expected, atol=1e-5)  # float32, sums in another order
    assert not torch.allclose(far_user[users], model.user_embedding.weight[users])


@pytest.mark.parametrize(("protocol", "n_seen"), [("paper", 2 * 5_000), ("strong", 2 * 30_000)])
def test_of_many_members_the_strong_oracle_sees_a_tenth(monkeypatch, protocol, n_seen):
    n_users, n_items = 600, 1_000
    users, items = (part.ravel() for part in np.mgrid[:n_users, : n_items // 2])
    data = Membership(Rows(users, items), Rows(users, items + n_items // 2), Rows(users[:1], items[:1]))
    monkeypatch.setattr(mio, "cross_fit", lambda training, *_: {"seen": len(training.labels)})
    assert membership_oracle(Planted(torch.zeros(n_users, n_items)), data, protocol, seed=1)["seen"] == n_seen


def test_networks_side_by_side_are_networks_alone():
    generator = torch.Generator().manual_seed(0)
    features = 5 + 3 * torch.randn(400, 5, generator=generator)
    labels = (features[:, 0] > 5).long()
    schedule = Schedule("adam", 0.01, epochs=30, batch_size=64, rows_per_class=200, patience=5)
    parts = [torch.arange(200), torch.arange(200, 400)]
    attackers = train_attackers(features, labels, parts, schedule, generator)
    both = attackers(features.expand(2, -1, -1)).softmax(dim=2)[:, :, 1]
    for network, other in enumerate(reversed(parts)):
        alone = ask(attackers, torch.tensor([network]), features)
        assert ((alone > 0.5).long() == labels)[other].float().mean() > 0.9
        assert torch.allclose(both[network], alone, atol=1e-6)
    assert torch.allclose(ask(attackers, torch.arange(2), features), both.mean(dim=0), atol=1e-6)


def test_the_weighted_auc_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels, answers, weights = rng.integers(2, size=300), rng.integers(9, size=300) / 9, rng.integers(4, size=300)
    expected = roc_auc_score(labels, answers, sample_weight=weights)
    assert weighted_auc(labels, answers, weights) == pytest.approx(expected, abs=1e-12)


def test_the_thinned_curve_has_the_area_of_the_whole():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    answers = labels + rng.normal(size=2000)
    curve = roc(labels, answers)
    assert len(curve["fpr"]) <= 50
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    area = auc(curve["fpr"], curve["tpr"])
    assert area == pytest.approx(weighted_auc(labels, answers, np.ones(2000)), abs=0.005)  # chords of a concave curve
