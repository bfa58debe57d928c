import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data.withdrawal import Interactions
from recbole_unlearn.exceptions import RequestError


def make_rows(users, items):
    user_tokens = np.array(["[PAD]"] + [f"u{i}" for i in range(1, 8)])
    item_tokens = np.array(["[PAD]"] + [f"i{i}" for i in range(1, 8)])
    index = [{token: id_ for id_, token in enumerate(tokens)} for tokens in (user_tokens, item_tokens)]
    return Interactions(np.array(users), np.array(items), user_tokens, item_tokens, *index)


ROWS = make_rows([1, 1, 2, 3, 3, 3, 1], [1, 2, 1, 4, 5, 6, 1])


@pytest.mark.parametrize(
    ("make_request", "rows"),
    [
        (lambda: WithdrawalRequest.users(["u1"]), [0, 1, 6]),
        (lambda: WithdrawalRequest.items(["i1"]), [0, 2, 6]),
        (lambda: WithdrawalRequest.interactions([("u1", "i1"), ("u3", "i5")]), [0, 4, 6]),
        (lambda: WithdrawalRequest.users(["u2"]) | WithdrawalRequest.items(["i6"]), [2, 5]),
        (lambda: WithdrawalRequest.interactions([("u2", "i7")]), []),
        (lambda: WithdrawalRequest.users(["u7"]), []),
    ],
)
def test_resolve_finds_the_rows(make_request, rows):
    assert np.flatnonzero(make_request().resolve(ROWS).forget).tolist() == rows


pairs = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(pairs, st.lists(st.integers(1, 7), max_size=3), st.lists(st.integers(1, 7), max_size=3), st.randoms())
def test_forget_and_retain_are_the_rows_whatever_their_order(pairs, users, items, random):
    request = WithdrawalRequest.users(f"u{u}" for u in users) | WithdrawalRequest.items(f"i{i}" for i in items)
    expected = [u in users or i in items for u, i in pairs]
    shuffled = random.sample(range(len(pairs)), len(pairs))
    if not request or all(expected):
        with pytest.raises(RequestError):
            request.resolve(make_rows(*zip(*pairs, strict=True)))
        return
    withdrawal = request.resolve(make_rows(*zip(*pairs, strict=True)))
    again = request.resolve(make_rows(*zip(*[pairs[k] for k in shuffled], strict=True)))
    assert withdrawal.forget.tolist() == expected
    assert again.forget.tolist() == [expected[k] for k in shuffled]
    assert again.digest == withdrawal.digest


def test_the_scope_is_the_requests_or_the_usual_one_of_its_kind():
    named = WithdrawalRequest.users(["u1"])
    assert named.resolve(ROWS).scope == "all"
    assert WithdrawalRequest.random(30, 1).resolve(ROWS).scope == "train"
    assert dataclasses.replace(named, scope="train").resolve(ROWS).scope == "train"
    assert named.resolve(ROWS, "train").scope == "train"


def test_what_has_no_row_is_counted():
    request = WithdrawalRequest.interactions([("u1", "i1"), ("u1", "i6")]) | WithdrawalRequest.items(["i7"])
    withdrawal = request.resolve(ROWS)
    assert withdrawal.absent == 2
    assert withdrawal.forget.sum() == 2


def test_a_saved_request_reproduces_a_drawn_one(tmp_path):
    withdrawal = WithdrawalRequest.random(30, 1).resolve(ROWS)
    withdrawal.request.save(tmp_path / "request.json")
    again = WithdrawalRequest.from_file(tmp_path / "request.json")
    assert again == withdrawal.request
    assert again.sample.alpha == 30
    assert again.resolve(ROWS).digest == withdrawal.digest


def test_digest_depends_on_content_and_scope_only():
    one = WithdrawalRequest.users(["u1", "u2"]).resolve(ROWS)
    assert WithdrawalRequest.users(["u2", "u1", "u1"]).resolve(ROWS).digest == one.digest
    assert WithdrawalRequest.users(["u1", "u2"]).resolve(ROWS, "train").digest != one.digest
    assert WithdrawalRequest.users(["u1"]).resolve(ROWS).digest != one.digest


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (WithdrawalRequest(), "empty"),
        (WithdrawalRequest.users(["u11"]), "1 of 1 user tokens are not in the data set: 'u11'; did you mean 'u1'?"),
        (WithdrawalRequest.items(["i1", "x"]), "1 of 2 item tokens"),
        (WithdrawalRequest.users(["[PAD]"]), "not in the data set"),
        (WithdrawalRequest.users(["u1", "u2", "u3"]), "withdraws all 7 training rows"),
    ],
)
def test_requests_that_do_not_fit(request_, message):
    with pytest.raises(RequestError) as error:
        request_.resolve(ROWS)
    assert message in str(error.value)


@pytest.mark.parametrize("token", [True, 1.5, None, "", " ", "nan", float("nan"), ["u1"]])
def test_tokens_are_strings_or_whole_numbers(token):
    with pytest.raises(RequestError):
        WithdrawalRequest.users([token])


def test_numbers_become_tokens():
    assert WithdrawalRequest.users([196, np.int64(22), " 7 "]).user_tokens == ("196", "22", "7")


@pytest.mark.parametrize("alpha", [0, 100, -1, float("nan"), True, "5"])
def test_alpha_is_a_share(alpha):
    with pytest.raises(RequestError, match="strictly between 0 and 100"):
        WithdrawalRequest.random(alpha, seed=1)


def many_rows(order):
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(1, 101), rng.integers(1, 30, 100))
    items = rng.integers(1, 50, len(users))
    tokens = np.array(["[PAD]"] + [f"u{k}" for k in order])
    item_tokens = np.array(["[PAD]"] + [f"i{k}" for k in range(49)])
    ids = np.concatenate([[0], 1 + np.argsort(order)])  # the same users under other ids
    return Interactions(
        ids[users],
        items,
        tokens,
        item_tokens,
        {token: id_ for id_, token in enumerate(tokens)},
        {token: id_ for id_, token in enumerate(item_tokens)},
    )


def test_rand_takes_whole_users_and_does_not_depend_on_ids():
    straight, mixed = many_rows(np.arange(100)), many_rows(np.random.default_rng(1).permutation(100))
    first = WithdrawalRequest.random(5, seed=7).resolve(straight)
    second = WithdrawalRequest.random(5, seed=7).resolve(mixed)
    assert len(first.users) == 5
    assert set(first.request.user_tokens) == set(second.request.user_tokens)
    assert first.digest == second.digest
    assert WithdrawalRequest.random(5, seed=8).resolve(straight).digest != first.digest
    assert np.isin(straight.users, first.users).tolist() == first.forget.tolist()


def test_core_and_edge_take_the_most_and_least_active():
    rows = many_rows(np.arange(100))
    counts = np.bincount(rows.users)
    core = WithdrawalRequest.random(10, 1, "core").resolve(rows)
    edge = WithdrawalRequest.random(10, 1, "edge").resolve(rows)
    others = np.setdiff1d(np.arange(1, 101), core.users)
    assert counts[core.users].min() >= counts[others].max()
    assert counts[edge.users].max() <= np.sort(counts[1:])[9]


def test_interactions_are_drawn_one_by_one():
    rows = many_rows(np.arange(100))
    withdrawal = WithdrawalRequest.random(10, 1, "interactions").resolve(rows)
    distinct = len(np.unique(rows.pair_keys()))
    assert len(withdrawal.request.pair_tokens) == round(distinct / 10)
    assert withdrawal.request.kind == "interactions"
    assert set(rows.pair_keys()[withdrawal.forget]).isdisjoint(rows.pair_keys()[~withdrawal.forget])


@pytest.mark.parametrize(
    "request_",
    [
        WithdrawalRequest.users(["u1", "2"]),
        WithdrawalRequest.items(["i1"]) | WithdrawalRequest.interactions([("u1", "i2")]),
        WithdrawalRequest.random(5, 3, "edge"),
    ],
)
def test_a_saved_request_reads_back(tmp_path, request_):
    request_.save(tmp_path / "request.json")
    assert WithdrawalRequest.from_file(tmp_path / "request.json") == request_


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("r.csv", "user_id\n196\n22\n", WithdrawalRequest.users(["196", "22"])),
        ("r.csv", "user_id,item_id\n1,2\n\n3,4\n", WithdrawalRequest.interactions([("1", "2"), ("3", "4")])),
        (
            "r.inter",
            "user_id:token\titem_id:token\trating:float\n1\t2\t5\n",
            WithdrawalRequest.interactions([("1", "2")]),
        ),
        ("r.tsv", "item_id:token\n7\n", WithdrawalRequest.items(["7"])),
        ("r.csv", '\ufeffuser_id\n"1"\n', WithdrawalRequest.users(["1"])),
        ("r.json", '{"users": [1, "2"]}', WithdrawalRequest.users(["1", "2"])),
    ],
)
def test_files_of_every_form(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert WithdrawalRequest.from_file(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", b"", "is empty"),
        ("r.csv", b"  \n", "is empty"),
        ("r.csv", b"user_id\n", "no row below the header"),
        ("r.csv", b"user\n1\n", "did you mean 'user_id'?"),
        ("r.csv", b"who\n1\n", "must name the columns"),
        ("r.csv", b"user_id,item_id\n1\n", "line 2 has 1 fields where the header has 2"),
        ("r.csv", b"user_id,item_id\n1,2\n1,\n", "line 3 has an empty token"),
        ("r.csv", b"user_id\n1\nNaN\n", "line 3 has an empty token or NaN"),
        ("r.csv", b'user_id\n"1\n', "no valid table"),
        ("r.csv", b"\xff\xfe\x00", "cannot be read as utf-8"),
        ("r.json", b"{", "no valid json"),
        ("r.json", b'{"users": [' + b"1" * 5000 + b"]}", "no valid json: Exceeds the limit"),
        ("r.json", b"[1]", "must be an object"),
        ("r.json", b'{"user": [1]}', "unknown key 'user'; did you mean 'users'?"),
        ("r.json", b'{"users": [NaN]}', "NaN is not a token"),
        ("r.json", b'{"users": 5}', "users must be a list"),
        ("r.json", b'{"users": []}', "the request is empty"),
        ("r.json", b'{"interactions": [[1, 2, 3]]}', "interactions"),
        ("r.json", b'{"interactions": [1]}', "interactions"),
        ("r.json", b'{"users": ["u1"], "scope": "test"}', "scope is 'test'; allowed: train, all"),
        ("r.json", b'{"sample": {"alpha": 5, "seed": -1}}', "seed is -1"),
        ("r.json", b'{"users": ["u1"], "users": ["u2"]}', "stands twice"),
        ("r.json", b'{"interactions": ["ab"]}', "list of [user, item] pairs"),
        ("r.csv", b"user_id,itemid\n1,2\n", "did you mean 'item_id'?"),
        ("r.csv", b"user_id,user_id\n1,2\n", "names a column twice"),
        ("r.json", b'{"sample": {"alpha": 5}}', "`sample` must hold"),
        ("r.json", b'{"sample": {"alpha": 500, "seed": 1}}', "strictly between 0 and 100"),
    ],
)
def test_malformed_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError) as error:
        WithdrawalRequest.from_file(tmp_path / name)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RequestError, match="does not exist"):
        WithdrawalRequest.from_file(tmp_path / "none.csv")


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["users", "items", "sample"]), inner)
            ),
            max_leaves=6,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_garbage_is_an_input_error_or_a_request(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "r.csv"
    path.write_bytes(content)
    try:
        request = WithdrawalRequest.from_file(path)
    except RequestError:
        return
    assert request.user_tokens or request.item_tokens or request.pair_tokens or request.sample
