import hashlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn.checkpoints.record import filled
from recbole_unlearn.data import withdrawal_history
from recbole_unlearn.lineage.key import SIZE
from recbole_unlearn.lineage.splits import FILTERED, KeptSplit, by_pair, drop_from_splits


def kept(rng, count, filtered=0):
    """Return a kept split of rows of few users and items, many pairs repeated, and each row's content."""
    users, items = rng.integers(0, 2**63, 6, dtype=np.uint64), rng.integers(0, 2**63, 5, dtype=np.uint64)
    user, item = users[rng.integers(0, 6, count)], items[rng.integers(0, 5, count)]
    content = rng.integers(0, 3, count).astype(np.float32)
    order = np.lexsort((content, item, user))  # as the ledger keeps them: one pair's rows in the order of their content
    user, item, content = user[order], item[order], content[order]
    part = rng.integers(0, 3, count)
    part[rng.choice(count, filtered, replace=False)] = FILTERED
    return KeptSplit({}, user, item, np.arange(count), part), content


def keys(hashes):
    """Return the places of hashes in a table that holds one more, not in order."""
    table = np.append(np.unique(hashes)[::-1], np.uint64(7))
    return np.array([np.flatnonzero(table == one)[0] for one in hashes], dtype=int), table


@pytest.mark.parametrize("seed", range(5))
def test_every_kept_row_is_found_once_at_a_row_of_its_pair_and_content(seed):
    rng = np.random.default_rng(seed)
    split, content = kept(rng, 60)
    file = rng.permutation(60)
    places = split.places(keys(split.users[file]), keys(split.items[file]), [content[file]])
    assert sorted(places) == list(range(60))
    for column in (split.users, split.items, content):
        np.testing.assert_array_equal(column[places], column[file])


@pytest.mark.parametrize("seed", range(5))
def test_of_more_rows_of_a_pair_than_were_kept_the_first_in_the_file_are_the_kept_ones(seed):
    rng = np.random.default_rng(seed)
    split, _ = kept(rng, 40, filtered=15)
    file = rng.permutation(np.r_[np.arange(40), rng.integers(0, 40, 20)])
    users, items = split.users[file], split.items[file]
    places = split.places(keys(users), keys(items))
    left = Counter(zip(split.users[split.part != FILTERED], split.items[split.part != FILTERED], strict=True))
    for place, pair in zip(places, zip(users, items, strict=True), strict=True):
        assert (place >= 0) == (left[pair] > 0)
        left[pair] -= 1
    found = places[places >= 0]
    assert sorted(found) == list(np.flatnonzero(split.part != FILTERED))


@pytest.mark.parametrize("changed", [False, True])
def test_rows_that_are_asked_for_a_second_time_are_found_as_by_the_first(changed):
    """A data set asks once by its tokens, and once by the ids that it has given them, which have another table."""
    split, content = kept(np.random.default_rng(4), 50)
    file = np.random.default_rng(5).permutation(50)
    assert split.places(keys(split.users[file]), keys(split.items[file])) is not None
    file = file[::-1] if changed else file
    tables = [np.unique(hashes) for hashes in (split.users, split.items)]
    again = [
        (np.searchsorted(table, h[file]), table) for table, h in zip(tables, (split.users, split.items), strict=True)
    ]
    alone = KeptSplit({}, split.users, split.items, split.position, split.part)
    assert split.places(*again, [content[file]]).tolist() == alone.places(*again, [content[file]]).tolist()


def test_a_kept_row_that_is_missing_is_told():
    split, _ = kept(np.random.default_rng(1), 30)
    assert split.places(keys(split.users[1:]), keys(split.items[1:])) is None
    assert split.places(keys(split.users[:0]), keys(split.items[:0])) is None


def test_rows_that_a_filter_left_out_are_recognised():
    split, _ = kept(np.random.default_rng(2), 30, filtered=10)
    gone = set(zip(split.users[split.part == FILTERED], split.items[split.part == FILTERED], strict=True))
    wanted = [pair in gone for pair in zip(split.users, split.items, strict=True)]
    np.testing.assert_array_equal(split.was_filtered(keys(split.users), keys(split.items)), wanted)
    assert 0 < sum(wanted) < len(wanted)


@pytest.mark.parametrize("seed", range(5))
def test_rows_stand_in_the_order_of_pair_and_content(seed):
    rng = np.random.default_rng(seed)
    pairs, content = (
        rng.integers(0, 20, 40),
        [rng.integers(0, 2, 40).astype(float), rng.integers(0, 2, 40).astype(float)],
    )
    order = by_pair(pairs, lambda rows: [column[rows] for column in content])
    assert order.tolist() == sorted(range(40), key=lambda row: (pairs[row], content[1][row], content[0][row], row))


def test_only_rows_of_a_pair_that_stands_twice_are_asked_for_their_content():
    asked = []
    order = by_pair(np.array([3, 1, 3, 2]), lambda rows: asked.append(rows.tolist()) or [-rows.astype(float)])
    assert (order.tolist(), asked) == ([1, 3, 2, 0], [[0, 2]])
    assert by_pair(np.array([2, 1]), lambda rows: pytest.fail("no pair stands twice")).tolist() == [1, 0]
    assert by_pair(np.array([], dtype=int), lambda rows: pytest.fail("no rows")).tolist() == []


def test_the_rows_of_a_user_are_found_by_the_key_of_the_table(ledger):
    """Else every withdrawn user, and for a withdrawn item every user there is, costs a pass over all users."""
    statements = []
    ledger.db.set_trace_callback(statements.append)
    drop_from_splits(ledger, {"user": [b"u" * 32], "pair": [b"v" * 32 + b"i" * 32]})
    ledger.db.set_trace_callback(None)
    about = [one for one in statements if "FROM split_rows" in one]
    assert len(about) == 2
    for statement in about:
        (plan,) = [row[3] for row in ledger.db.execute(f"EXPLAIN QUERY PLAN {statement}") if "split_rows" in row[3]]
        assert plan.endswith("USING PRIMARY KEY (split=? AND user=?)"), plan


def test_the_dummies_are_those_of_every_version(ledger):
    """A user who is readmitted is recorded with the dummies of the withdrawal: others would tell how many rows were real."""
    key, hashes = ledger.key, [b"a" * SIZE, b"b" * SIZE, b"c" * SIZE, b"d" * SIZE]
    dummies = [key.hash("filler", b"".join(hashes) + number.to_bytes(8, "little")) for number in range(3)]
    assert filled(key, hashes) == hashes + dummies


def test_the_work_of_hiding_a_number_of_hashes_is_linear(ledger, monkeypatch):
    begun = []
    real = hashlib.blake2b
    monkeypatch.setattr(hashlib, "blake2b", lambda content, **keys: begun.append(len(content)) or real(content, **keys))
    for count in (5, 1000, 1024):
        begun.clear()
        assert len(filled(ledger.key, [bytes(SIZE)] * count)) == (1 << count.bit_length()) - 1
        assert begun == [SIZE * count]


def test_the_dummies_depend_on_the_hashes_and_are_the_same_again(ledger):
    one, other = [[digest * SIZE] * 5 for digest in (b"a", b"b")]
    assert filled(ledger.key, one) == filled(ledger.key, one)
    assert not set(filled(ledger.key, one)) & set(filled(ledger.key, other))
    assert len(set(filled(ledger.key, one)[5:])) == 2


@pytest.mark.parametrize(("seed", "few"), [(0, 1), (1, 4), (2, 1 << 17)])
def test_what_is_kept_does_not_depend_on_how_many_users_are_put_in_order_at_a_time(seed, few, monkeypatch):
    """User 1 alone has more rows than a block, users 0 and 7 have none."""
    rng = np.random.default_rng(seed)
    parts = []
    for count in (40, 9, 0):
        columns = {"user": rng.choice([1, 1, 1, 2, 3, 5, 6], count), "item": rng.integers(1, 4, count)}
        columns["rating"] = rng.integers(0, 2, count).astype(np.float32)
        feat = Interaction({name: torch.from_numpy(column) for name, column in columns.items()})
        parts.append(SimpleNamespace(inter_feat=feat))
    dataset = SimpleNamespace(build=lambda: parts, uid_field="user", iid_field="item", user_num=8)
    hashes = np.array([9, 5, 7], dtype="<u8")
    monkeypatch.setattr(withdrawal_history, "_LEAST", few)

    rows = [
        (user, item, rating, place, number)
        for place, (number, user, item, rating) in enumerate(
            (number, *row)
            for number, part in enumerate(parts)
            for row in zip(*(part.inter_feat[name].tolist() for name in ("user", "item", "rating")), strict=True)
        )
    ]
    wanted: dict[int, list] = {}
    for user, item, _, place, number in sorted(rows):
        wanted.setdefault(user, []).append((int(hashes[item - 1]), place, number))
    got = [(user, records.tolist()) for user, records in withdrawal_history._records(dataset, hashes)]
    assert got == sorted(wanted.items())
