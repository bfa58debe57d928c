"""Attribute withdrawal: groups, the matching against its closed form, the attack where the truth is known, and both."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from recbole_unlearn import Config, WithdrawalRequest
from recbole_unlearn.attributes import attribute_attack, forget_attribute, groups_of
from recbole_unlearn.attributes import groups as groups_module
from recbole_unlearn.attributes.attack import attacked
from recbole_unlearn.attributes.matching import matched
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.model.adapter import InfluenceAdapter
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
    """A data set of users with a gender and an age, and of items with a colour; of the first user nothing is known."""
    folder = tmp_path_factory.mktemp("dataset")
    write_inter(folder, "told")
    lines = [line.split("\t") for line in (folder / "told" / "told.inter").read_text().splitlines()[1:]]
    users, items = (sorted({line[column] for line in lines}) for column in (0, 1))
    rows = [f"{user}\t{'FM'[place % 2]}\t{20 + place % 50}\t{place % 7}\ta b" for place, user in enumerate(users)]
    rows[0] = f"{users[0]}\t\t\t\t"
    head = "user_id:token\tgender:token\tage:float\tcode:token\ttags:token_seq"
    (folder / "told" / "told.user").write_text("\n".join([head, *rows[:-1]]) + "\n")  # of the last one there is no row
    of_items = [f"{item}\t{('red', 'blue')[place % 2]}" for place, item in enumerate(items)]
    (folder / "told" / "told.item").write_text("\n".join(["item_id:token\tcolour:token", *of_items]) + "\n")
    return str(folder)


def loaded(world, model="BPR", **keys):
    fields = {
        "inter": ["user_id", "item_id"],
        "user": ["user_id", "gender", "age", "code", "tags"],
        "item": ["item_id", "colour"],
    }
    given = {"data_path": world, "load_col": fields, "epochs": 2, "show_progress": False, **keys}
    config = Config(model, "told", config_dict=given, argv=())
    return config, create_dataset(config)


def values_of(dataset, field):
    """Return the value in the file of each user id that has one."""
    lines = (line.split("\t") for line in Path(dataset.config["data_path"], "told.user").read_text().splitlines())
    column = [name.split(":")[0] for name in next(lines)].index(field)
    number = dataset.field2token_id["user_id"]
    return {number[line[0]]: line[column] for line in lines if line[column] and line[0] in number}


@pytest.mark.parametrize("field", ["gender", "age"])
def test_members_are_those_with_rows_and_a_value_in_the_file(world, field):
    _, dataset = loaded(world)
    with_rows = set(np.unique(dataset.interactions().users).tolist())
    known = values_of(dataset, field).keys() & with_rows
    assert len(known) < len(with_rows)
    assert groups_of(dataset, field).ids.tolist() == sorted(known)


def test_groups_of_tokens_and_of_numbers(world):
    _, dataset = loaded(world)
    groups, genders = groups_of(dataset, "gender"), values_of(dataset, "gender")
    assert groups.names == ("F", "M")
    assert [groups.names[label] for label in groups.labels] == [genders[one] for one in groups.ids]
    ages, by_id = groups_of(dataset, "age", parts=2), values_of(dataset, "age")
    young, old = ([float(by_id[one]) for one in ages.ids[ages.labels == label]] for label in (0, 1))
    assert max(young) < min(old)
    assert ages.names == (f"below {min(old):g}", f"{min(old):g} or more")


def test_tokens_that_are_numbers_are_cut_if_parts_are_given(world):
    _, dataset = loaded(world)
    codes = groups_of(dataset, "code", parts=2)
    by_id = values_of(dataset, "code")
    low, high = ([int(by_id[one]) for one in codes.ids[codes.labels == label]] for label in (0, 1))
    assert max(low) < min(high)
    assert groups_module._as_numbers("year", np.array(["[PAD]", "7", "unknown"]))[1] == 7
    with pytest.raises(ConfigError, match="leave parts out"):
        groups_of(dataset, "gender", parts=2)


def test_small_groups_are_put_together(world, monkeypatch):
    _, dataset = loaded(world)
    counts = np.unique(list(values_of(dataset, "code").values()), return_counts=True)[1]
    monkeypatch.setattr(groups_module, "LEAST_MEMBERS", int(counts.max()))
    together = groups_of(dataset, "code")
    assert together.names[-1] == "(others)"
    assert np.count_nonzero(together.labels == len(together.names) - 1) == counts[counts < counts.max()].sum()


def test_who_belongs_to_no_group_is_said(caplog):
    numbers = np.repeat([0.0, 1.0, 2.0], [45, 45, 9])
    found = groups_module._grouped("f", True, np.arange(1, 100), numbers, ["a", "b", "c"], 100)
    assert found.names == ("a", "b")
    assert len(found.ids) == 90
    assert "9 have a f that fewer than 10 share" in caplog.text


def test_who_left_is_no_member(world):
    _, dataset = loaded(world)
    user = dataset.field2id_token["user_id"][5]
    withdrawal = WithdrawalRequest.users([user]).resolve(dataset.interactions())
    assert 5 in groups_of(dataset, "gender").ids
    assert 5 not in groups_of(dataset.without(withdrawal), "gender").ids


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("gendre", "did you mean 'gender'"),
        ("tags", "token_seq"),
        ("user_id", "names users or items themselves"),
        (None, "the name of one field"),
        (["gender"], "the name of one field"),
    ],
)
def test_a_field_that_cannot_be_withdrawn_is_refused(world, field, said):
    with pytest.raises(ConfigError, match=said):
        groups_of(loaded(world)[1], field)


@pytest.mark.parametrize("zeros", [20, 50, 80])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_two_values_are_two_groups_whatever_their_shares(zeros, parts):
    numbers, names = groups_module._cut(np.repeat([0.0, 1.0], [zeros, 100 - zeros]), parts, 7)
    assert names == ["below 1", "1 or more"]
    assert np.bincount(numbers.astype(int)).tolist() == [zeros, 100 - zeros]


@pytest.mark.parametrize("parts", [2, 3])
def test_many_equal_values_leave_two_parts(parts):
    numbers, names = groups_module._cut(np.repeat([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [90, 2, 2, 2, 2, 2]), parts, 7)
    assert np.bincount(numbers.astype(int)).tolist() == [90, 10]
    assert names == ["below 1", "1 or more"]


def test_groups_of_another_data_set_move_nobody(world):
    config, dataset = loaded(world)
    groups = groups_of(dataset, "gender")
    other, smaller = loaded(world, user_inter_num_interval="[15,inf)")
    model = config.model_class(config, dataset.build()[0])
    with pytest.raises(ConfigError, match="take the groups of the data set"):
        forget_attribute(model, groups_of(smaller, "gender"))
    with pytest.raises(ConfigError, match="take the groups of the data set"):
        attribute_attack(other.model_class(other, smaller.build()[0]), groups)


def test_a_broken_row_is_said_before_any_moves(world):
    config, dataset = loaded(world)
    model = config.model_class(config, dataset.build()[0])
    groups = groups_of(dataset, "gender")
    with torch.no_grad():
        model.user_embedding.weight[int(groups.ids[0]), 0] = float("nan")
    before = model.user_embedding.weight.detach().clone()
    for call in (forget_attribute, attribute_attack):
        with pytest.raises(ConfigError, match=r"1 of \d+ embeddings"):
            call(model, groups)
    assert torch.equal(before.nan_to_num(7), model.user_embedding.weight.nan_to_num(7))


@pytest.mark.parametrize("model", ["Pop", "EASE", "MultiVAE"])
def test_a_model_without_rows_is_refused_in_words_that_help(world, model):
    config, dataset = loaded(world, model, train_neg_sample_args=None)
    groups = groups_of(dataset, "gender")
    with pytest.raises(UnsupportedModelError, match="none to move or to attack"):
        forget_attribute(config.model_class(config, dataset.build()[0]), groups)


@pytest.mark.parametrize("parts", [1, 0, -3, 2.0, True])
def test_parts_are_checked(world, parts):
    with pytest.raises(ConfigError, match="parts is"):
        groups_of(loaded(world)[1], "age", parts)


@pytest.mark.parametrize("rotations", [0, -1, 2.5, True, "3"])
def test_rotations_are_checked_before_anything_changes(world, rotations):
    config, dataset = loaded(world)
    model = config.model_class(config, dataset.build()[0])
    before = model.user_embedding.weight.detach().clone()
    with pytest.raises(ConfigError, match="rotations is"):
        forget_attribute(model, groups_of(dataset, "gender"), rotations)
    assert torch.equal(before, model.user_embedding.weight)


@pytest.mark.parametrize("model", ["BPR", "NeuMF", "LightGCN"])
@pytest.mark.parametrize("field", ["gender", "colour"])
def test_only_the_rows_of_members_change_and_the_file_holds_them(world, model, field, tmp_path):
    config, dataset = loaded(world, model, checkpoint_dir=str(tmp_path), ledger_dir=str(tmp_path / "ledger"))
    unlearner = train_model(config, dataset)
    groups, adapter = groups_of(dataset, field), InfluenceAdapter.of(unlearner.model)
    assert groups.of_users == (field == "gender")
    before = {name: value.clone() for name, value in unlearner.model.state_dict().items()}
    told = forget_attribute(unlearner.model, groups, seed=4)
    after = unlearner.model.state_dict()
    theirs = adapter.names(adapter.user_tables if groups.of_users else adapter.item_tables)
    for name, value in before.items():
        others = np.setdiff1d(np.arange(len(value)), groups.ids) if name in theirs else np.arange(len(value))
        assert torch.equal(value[others], after[name][others]), name
        assert name not in theirs or (value[groups.ids] != after[name][groups.ids]).any(dim=1).all()
    assert 0 < told["moved"] < 2
    unlearner.save(tmp_path / "model.pth")
    saved = torch.load(tmp_path / "model.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(saved[name], after[name]) for name in theirs)


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
    forget_attribute(model, groups)
    after = attribute_attack(model, groups)
    for view in ("rows", "scores"):
        assert strongest(before[view]) > 0.9, view
        assert abs(after[view]["linear"]["auc"] - 0.5) < 0.2, view
