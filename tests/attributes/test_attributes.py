"""Attribute withdrawal: groups, the matching against its closed form, the attack where the truth is known, and both."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from recbole_unlearn import Config, WithdrawalRequest
from recbole_unlearn.attributes import attribute_attack, forget_attribute, groups_of
from recbole_unlearn.attributes.attack import attacked
from recbole_unlearn.attributes.matching import matched
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.testing import write_inter
from recbole_unlearn.trainer import train_model


def strongest(told):
    return told[told["strongest"]]["auc"]


@pytest.fixture(scope="module")
def told_by_rows():
    """300 members in 20 dimensions, whose group moves the mean and stretches the rows."""
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.4).astype(int)
    rows = rng.standard_normal((300, 20)) * (1 + labels[:, None])
    rows[:, :3] += 1.5 * labels[:, None]
    return rows * np.geomspace(0.01, 1, 20), labels  # dimensions of very different length


def test_one_dimension_is_the_optimal_transport_onto_the_sample():
    """With one dimension each group has the values of its sample, in the order that its members had."""
    rng = np.random.default_rng(3)
    rows, labels = rng.standard_normal((50, 1)), rng.integers(2, size=50)
    rows[labels == 1] += 4
    moved = matched(rows, labels, 1, np.random.default_rng(7))
    sample = rows[np.random.default_rng(7).permutation(50)]
    for group in (0, 1):
        mine = labels == group
        np.testing.assert_allclose(np.sort(moved[mine], axis=0), np.sort(sample[mine], axis=0), atol=1e-12)
        assert (moved[mine, 0].argsort() == rows[mine, 0].argsort()).all()


def test_every_direction_of_the_last_basis_has_the_values_of_the_sample(told_by_rows):
    rows, labels = told_by_rows
    moved = matched(rows, labels, 1, np.random.default_rng(1))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    _, axes = np.linalg.eigh(scaled.T @ scaled)
    sample = scaled[np.random.default_rng(1).permutation(len(rows))] @ axes
    points = ((moved - rows.mean(axis=0)) / rows.std(axis=0)) @ axes
    for group in (0, 1):
        np.testing.assert_allclose(
            np.sort(points[labels == group], axis=0), np.sort(sample[labels == group], axis=0), atol=1e-9
        )


def test_groups_become_alike_in_directions_that_no_basis_had(told_by_rows):
    rows, labels = told_by_rows
    moved = matched(rows, labels, 30, np.random.default_rng(1))
    directions = np.random.default_rng(9).standard_normal((20, 40)) / rows.std(axis=0)[:, None]

    def told_apart(points):
        return np.mean(
            [ks_2samp(*(points[labels == group] @ one for group in (0, 1))).pvalue < 0.05 for one in directions.T]
        )

    assert told_apart(rows) > 0.9 > 0.2 > told_apart(moved)


def test_the_attack_reads_what_is_there_and_nothing_after(told_by_rows):
    rows, labels = told_by_rows
    assert strongest(attacked(rows, labels, 0)) > 0.95
    moved = matched(rows, labels, 30, np.random.default_rng(1))
    after = attacked(moved, labels, 0)
    chance = attacked(rows, np.random.default_rng(2).permutation(labels), 0)
    assert abs(strongest(after) - 0.5) < 0.1
    assert abs(strongest(chance) - 0.5) < 0.1
    assert after["linear"]["auc_low"] < after["linear"]["auc"] < after["linear"]["auc_high"]


def test_a_common_mean_tells_the_opposite(told_by_rows):
    """Why the aim is a sample: with one mean to the last digit, the members asked about lie on the other side."""
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((150, 60)), rng.integers(2, size=150)
    for group in (0, 1):
        rows[labels == group] -= rows[labels == group].mean(axis=0)
    told = attacked(rows, labels, 0)
    assert told["linear"]["auc"] < 0.25
    assert abs(strongest(told) - 0.5) > 0.25


def test_three_groups_and_a_dimension_that_tells_nothing():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    rows = np.concatenate([rng.standard_normal((400, 6)) + labels[:, None], np.ones((400, 1))], axis=1)
    moved = matched(rows, labels, 20, np.random.default_rng(0))
    assert np.isfinite(moved).all()
    assert (moved[:, -1] == 1).all()
    assert strongest(attacked(rows, labels, 0)) > 0.9
    assert abs(strongest(attacked(moved, labels, 0)) - 0.5) < 0.1


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set in which the rows tell gender: half of the items are for one."""
    folder = tmp_path_factory.mktemp("dataset")
    write_inter(folder, "told")
    lines = (folder / "told" / "told.inter").read_text().splitlines()[1:]
    users = sorted({line.split("\t")[0] for line in lines})
    genders = [
        f"{user}\t{'FM'[place % 2]}\t{20 + place % 50}\t{'a b' if place else ''}" for place, user in enumerate(users)
    ]
    genders[0] = f"{users[0]}\t\t\t"  # of this user nothing is known
    head = "user_id:token\tgender:token\tage:float\ttags:token_seq"
    (folder / "told" / "told.user").write_text("\n".join([head, *genders]) + "\n")
    return str(folder)


def loaded(world, model="BPR", **keys):
    fields = {"inter": ["user_id", "item_id"], "user": ["user_id", "gender", "age", "tags"]}
    given = {"data_path": world, "load_col": fields, "epochs": 2, "show_progress": False, **keys}
    config = Config(model, "told", config_dict=given, argv=())
    return config, create_dataset(config)


def test_groups_of_tokens_and_of_numbers(world):
    _, dataset = loaded(world)
    groups = groups_of(dataset, "gender")
    assert groups.names == ("F", "M")
    assert groups.of_users
    assert len(groups.ids) == len(groups.labels)
    known = dict(zip(np.asarray(dataset.user_feat["user_id"]), np.asarray(dataset.user_feat["gender"]), strict=True))
    names = dataset.field2id_token["gender"]
    assert all(names[known[one]] == groups.names[label] for one, label in zip(groups.ids, groups.labels, strict=True))
    ages = groups_of(dataset, "age", parts=2)
    by_id = dict(zip(np.asarray(dataset.user_feat["user_id"]), np.asarray(dataset.user_feat["age"]), strict=True))
    young, old = ([by_id[one] for one in ages.ids[ages.labels == label]] for label in (0, 1))
    assert max(young) < min(old)
    assert ages.names[0].startswith("-inf to ")


def test_who_left_is_no_member(world):
    _, dataset = loaded(world)
    user = dataset.field2id_token["user_id"][5]
    withdrawal = WithdrawalRequest.users([user]).resolve(dataset.interactions())
    assert 5 in groups_of(dataset, "gender").ids
    assert 5 not in groups_of(dataset.without(withdrawal), "gender").ids


@pytest.mark.parametrize(
    ("field", "said"),
    [("gendre", "did you mean 'gender'"), ("tags", "token_seq"), ("user_id", "no field of the users")],
)
def test_a_field_that_cannot_be_withdrawn_is_refused(world, field, said):
    with pytest.raises(ConfigError, match=said):
        groups_of(loaded(world)[1], field)


@pytest.mark.parametrize("rotations", [0, -1, 2.5, True, "3"])
def test_rotations_are_checked_before_anything_changes(world, rotations):
    config, dataset = loaded(world)
    model = config.model_class(config, dataset.build()[0])
    before = model.user_embedding.weight.detach().clone()
    with pytest.raises(ConfigError, match="rotations is"):
        forget_attribute(model, groups_of(dataset, "gender"), rotations)
    assert torch.equal(before, model.user_embedding.weight)


@pytest.mark.parametrize("model", ["BPR", "NeuMF", "LightGCN"])
def test_only_the_rows_of_members_change_and_the_file_holds_them(world, model, tmp_path):
    config, dataset = loaded(world, model, checkpoint_dir=str(tmp_path), ledger_dir=str(tmp_path / "ledger"))
    unlearner = train_model(config, dataset)
    groups = groups_of(dataset, "gender")
    adapter = InfluenceAdapter.of(unlearner.model)
    every = torch.arange(adapter.user_tables[0].num_embeddings)
    before = read_rows(adapter.user_tables, every).clone()
    items = read_rows(adapter.item_tables, torch.arange(adapter.item_tables[0].num_embeddings)).clone()
    told = forget_attribute(unlearner.model, groups, seed=4)
    after = read_rows(adapter.user_tables, every)
    others = np.setdiff1d(every.numpy(), groups.ids)
    assert len(others) > 1
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[groups.ids], after[groups.ids])
    assert 0 < told["moved"] < 2
    assert torch.equal(items, read_rows(adapter.item_tables, torch.arange(len(items))))
    unlearner.save(tmp_path / "model.pth")
    saved = torch.load(tmp_path / "model.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(saved[name], value) for name, value in unlearner.model.state_dict().items() if name in saved)


def test_the_same_seed_gives_the_same_rows(world):
    config, dataset = loaded(world)
    groups, rows = groups_of(dataset, "gender"), []
    for _ in range(2):
        model = train_model(config, dataset).model
        forget_attribute(model, groups, seed=4)
        rows.append(model.user_embedding.weight.detach().clone())
    assert torch.equal(*rows)


def test_rows_and_scores_of_a_planted_world_tell_gender_before_and_not_after(world):
    config, dataset = loaded(world)
    model = train_model(config, dataset).model
    groups = groups_of(dataset, "gender")
    with torch.no_grad():  # the first direction of the rows tells it
        model.user_embedding.weight[torch.from_numpy(groups.ids), 0] += 2.0 * torch.from_numpy(groups.labels)
        model.item_embedding.weight[:, 0] += 1.0
    before = attribute_attack(model, groups)
    forget_attribute(model, groups, rotations=20)
    after = attribute_attack(model, groups)
    for view in ("rows", "scores"):
        assert strongest(before[view]) > 0.9, view
        assert abs(after[view]["linear"]["auc"] - 0.5) < 0.2, view
