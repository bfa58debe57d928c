"""The controls, on worlds in which it is known what is left of whom."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from recbole_unlearn.arrays.sets import Taken
from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.shadows.audit import two_of
from recbole_unlearn.shadows.figures import separation, told_apart
from recbole_unlearn.shadows.question import Question, ask
from recbole_unlearn.shadows.roles import FORGET, IN, OUT, by_role, draw_roles
from tests.evaluator.worlds import BPR, DIMS, ITEMS, USERS, World

WORLDS, TARGETS, NOISE = 30, np.arange(1, 46), 0.02


class Planted:
    """Worlds whose items were pulled by everybody who is trained, with a noise of their own in each world."""

    def __init__(self):
        self.world = world = World(seed=5)
        tokens = world.table.user_tokens, world.table.item_tokens
        theirs = np.isin(world.train.users, TARGETS)
        pairs = Rows(
            *np.divmod(np.unique(world.train.users[theirs] * (ITEMS + 1) + world.train.items[theirs]), ITEMS + 1)
        )
        known = [
            np.concatenate([getattr(part, ids) for part in (world.train, world.test)]) for ids in ("users", "items")
        ]
        keys = row_keys(token_keys(tokens[0], 1)[pairs.users], token_keys(tokens[1], 1)[pairs.items])
        negatives = frozen_negatives(keys, pairs.users, Taken(*known, ITEMS + 1, np.array([], dtype=np.int64)), 4)
        self.question = Question(TARGETS, pairs, negatives, world.halves(TARGETS))
        self.roles = draw_roles(tokens[0][TARGETS], 1, WORLDS)
        self.others = np.arange(len(TARGETS) + 1, USERS + 1)

    def model(self, number, strength_of_forgotten):
        """Return a world's model, in which those who were forgotten have pulled with so much of their strength."""
        rng = np.random.default_rng(number)
        kept = np.concatenate([TARGETS[self.roles[number] == IN], self.others])
        left = TARGETS[self.roles[number] == FORGET]
        items = self.world.items(kept) + self.world.items(left, 0.4 * strength_of_forgotten) - self.world.base
        model = BPR(items + NOISE * rng.normal(size=items.shape))
        model.user_embedding.weight.data.zero_()
        return model

    def values(self, statistic, models):
        answers = np.stack([ask(model, self.question)[statistic] for model in models])
        owners = self.question.owners(statistic)
        return by_role(answers, self.roles[:, owners]), owners


@pytest.fixture(scope="module")
def planted():
    return Planted()


@pytest.fixture(scope="module")
def of_strength(planted):
    """Return a function that gives the refit's values where the forgotten leave a share of their pull in the items."""
    found = {}

    def values(strength, statistic="refit"):
        if (strength, statistic) not in found:
            models = [planted.model(number, strength) for number in range(WORLDS)]
            found[strength, statistic] = planted.values(statistic, models)
        return found[strength, statistic]

    return values


@pytest.mark.parametrize("statistic", ["refit", "refit of pairs"])
def test_those_who_stay_are_told_from_those_who_never_were(of_strength, statistic):
    values, owners = of_strength(0.0, statistic)
    assert separation(values[IN], values[OUT], owners, 1)["auc"] > (0.95 if statistic == "refit" else 0.65)


def test_those_who_never_were_are_not_told_from_each_other(of_strength):
    values, owners = of_strength(0.0)
    read = [separation(*two_of(values[OUT], owners, coins), owners, 1)["auc"] for coins in range(8)]
    assert np.mean(read) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("statistic", ["refit", "refit of pairs"])
def test_a_model_that_never_saw_the_forgotten_reads_the_null(of_strength, statistic):
    values, owners = of_strength(0.0, statistic)
    found = told_apart(values[FORGET], values[OUT], owners, 1)
    assert found["auc_low"] < 0.5 < found["auc_high"]
    assert found["auc"] == pytest.approx(0.5, abs=0.05)
    assert abs(found["shift"]) < 3.5 * found["error"]
    assert found["epsilon"]["bound"] == 0
    assert found["risk"]["highest"][0] <= found["chance"]["highest_risk_95"] + 0.05
    assert found["klom"]["median"] < 2 * found["chance"]["klom"]["median"]


def test_items_that_stay_as_trained_are_caught_as_surely_as_those_who_stay(of_strength):
    values, owners = of_strength(1.0)
    found = told_apart(values[FORGET], values[OUT], owners, 1)
    power = separation(values[IN], values[OUT], owners, 1)
    assert found["auc"] == pytest.approx(power["auc"], abs=0.03)
    assert found["auc"] > 0.95
    assert found["risk"]["mean"] > 0.9


def test_a_strong_leak_proves_nearly_the_cap(of_strength):
    values, owners = of_strength(4.0)
    epsilon = told_apart(values[FORGET], values[OUT], owners, 1)["epsilon"]
    assert 0.2 < epsilon["bound"] <= epsilon["cap"]


def test_a_part_of_the_pull_that_is_left_is_read_as_that_part(of_strength):
    full = of_strength(1.0)[0]
    whole = (full[FORGET] - full[OUT]).mean()
    for share in (0.25, 0.5):
        values, owners = of_strength(share)
        found = separation(values[FORGET], values[OUT], owners, 1)
        assert found["shift"] / whole == pytest.approx(share, abs=0.2)
        assert 0.55 < found["auc"] < separation(full[FORGET], full[OUT], owners, 1)["auc"]


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_a_known_leak_in_the_served_rows_is_read_as_that_leak(planted, distance):
    """A row of noise has a margin of one deviation; so many deviations of it are added to the rows of the forgotten."""
    question = planted.question
    models = []
    for number in range(WORLDS):
        model = planted.model(0, 0.0)  # the same items in all worlds
        items = model.item_embedding.weight.detach().double()
        pulls = items[question.pairs.items] - items[question.negatives].mean(dim=1)
        directions = torch.zeros(USERS + 1, DIMS, dtype=torch.double).index_add_(
            0, torch.from_numpy(question.pairs.users), pulls
        )
        directions = directions[TARGETS] / directions[TARGETS].norm(dim=1, keepdim=True)
        rows = torch.randn(directions.shape, generator=torch.Generator().manual_seed(number), dtype=torch.double)
        rows[planted.roles[number] == FORGET] += distance * directions[planted.roles[number] == FORGET]
        model.user_embedding.weight.data[TARGETS] = rows.float()
        InfluenceAdapter.of(model).parameters_changed()
        models.append(model)
    values, owners = planted.values("served", models)
    found = told_apart(values[FORGET], values[OUT], owners, 1)
    closed = norm.cdf(distance / np.sqrt(2))
    assert found["auc"] == pytest.approx(closed, abs=0.05)
    assert found["auc_low"] - 0.02 < closed < found["auc_high"] + 0.04
