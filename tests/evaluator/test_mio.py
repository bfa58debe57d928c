import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.evaluator.attackers import Schedule, probabilities, train_attackers
from recbole_unlearn.evaluator.mio import Membership, Rows, _folds, membership_oracle
from recbole_unlearn.model import adapter as adapters


class Planted(torch.nn.Module):
    """A model whose score of a pair is what the test planted."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)


class PlantedAdapter(adapters.ModelAdapter):
    model_name = "Planted"
    user_tables = item_tables = ()
    draw_rows = user_blocks = score = None

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


def test_the_same_seed_gives_the_same_figures():
    data, _, _ = world(GONE)
    model = Planted(torch.randn(80, 60, generator=torch.Generator().manual_seed(2)))
    assert membership_oracle(model, data, "strong", 3) == membership_oracle(model, data, "strong", 3)


@pytest.mark.parametrize("partial", [False, True])
def test_no_asked_user_trains_the_network_that_is_asked(partial):
    data, users, train = world(GONE)
    if partial:  # every user withdrew five rows
        gone = np.arange(len(users)) % 20 < 5
        data = Membership(Rows(users[~gone], train[~gone]), data.others, Rows(users[gone], train[gone]))
    networks = _folds(data, np.random.default_rng(0))
    assert len(networks) == (5 if partial else 1)
    for trainers, asked in networks:
        assert len(np.intersect1d(trainers, asked)) == 0
        assert np.isin(trainers, data.members.users).all()
        assert np.isin(trainers, data.others.users).all()
    everyone = np.concatenate([asked for _, asked in networks])
    assert sorted(everyone.tolist()) == sorted(data.asked.tolist())


def test_partial_requests_are_cross_fitted_and_found():
    data, users, train = world(GONE)
    gone = np.arange(len(users)) % 20 < 5
    data = Membership(Rows(users[~gone], train[~gone]), data.others, Rows(users[gone], train[gone]))
    table = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    table[users, train] += 3
    assert membership_oracle(Planted(table), data, "strong", seed=1)["auc"] > 0.95


def test_nobody_to_ask_is_none():
    data, _, _ = world(GONE)
    nobody = Membership(data.members, data.others, Rows(np.array([], dtype=int), np.array([], dtype=int)))
    assert membership_oracle(Planted(torch.zeros(80, 60)), nobody, "strong", 1) is None


def test_the_oracle_reads_a_trained_neumf(trained):
    rows, test = trained.dataset.interactions(), trained.dataset.interactions(part=2)
    forget = WithdrawalRequest.random(30, 1).resolve(rows).forget
    pairs = Rows(rows.users, rows.items)
    data = Membership(pairs.where(~forget), Rows(test.users, test.items), pairs.where(forget))
    for protocol in ("paper", "strong"):
        assert 0 <= membership_oracle(trained.model, data, protocol, 1)["auc"] <= 1


def test_networks_side_by_side_are_networks_alone():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 5, generator=generator)
    labels = (features[:, 0] > 0).long()
    schedule = Schedule("adam", 0.01, epochs=30, batch_size=64, rows_per_class=200, patience=5)
    parts = [torch.arange(200), torch.arange(200, 400)]
    attackers = train_attackers(features, labels, parts, schedule, generator)
    for network, other in enumerate(reversed(parts)):
        right = (probabilities(attackers, network, features[other]) > 0.5).long() == labels[other]
        assert right.float().mean() > 0.9
    both = attackers(features.expand(2, -1, -1)).softmax(dim=2)[:, :, 1]
    for network in range(2):
        assert torch.allclose(both[network], probabilities(attackers, network, features), atol=1e-6)
