import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data.interactions import AMBIGUOUS, Interactions, by_name
from recbole_unlearn.data.sample import Sample
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


def test_every_seed_from_0_on_draws():
    drawn = WithdrawalRequest.random(30, 0).resolve(ROWS)
    assert drawn.forget.any()
    with pytest.raises(RequestError, match="seed is -1"):
        WithdrawalRequest.random(30, -1)


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
        (
            WithdrawalRequest.users(["u11"]),
            "1 of 1 user tokens are not in the data set; write tokens as in the atomic file, whose 7 users remain",
        ),
        (WithdrawalRequest.items(["i1", "x"]), "1 of 2 item tokens"),
        (WithdrawalRequest.users(["[PAD]"]), "not in the data set"),
        (WithdrawalRequest.users(["u1", "u2", "u3"]), "withdraws all 7 training rows"),
    ],
)
def test_requests_that_do_not_fit(request_, message):
    with pytest.raises(RequestError) as error:
        request_.resolve(ROWS)
    assert message in str(error.value)


def test_the_constructor_takes_what_its_makers_take():
    request = WithdrawalRequest(user_tokens=[196, " 7 ", "196"], item_tokens={50}, pair_tokens=np.array([[1, 2]]))
    assert (request.user_tokens, request.item_tokens, request.pair_tokens) == (("196", "7"), ("50",), (("1", "2"),))
    assert request == WithdrawalRequest(("196", "7"), ("50",), (("1", "2"),))


@pytest.mark.parametrize(
    "make",
    [
        WithdrawalRequest.users,
        WithdrawalRequest.items,
        WithdrawalRequest.interactions,
        WithdrawalRequest,
        lambda given: WithdrawalRequest((), given),
        lambda given: WithdrawalRequest(pair_tokens=given),
        ROWS.user_ids,
        ROWS.item_ids,
    ],
)
@pytest.mark.parametrize("given", ["u1", b"u1", None, 1, {"u1": "i1"}, ["u1", None], [[["u1"], "i1"]], np.array("u1")])
def test_every_way_to_name_somebody_has_the_same_entry(make, given):
    with pytest.raises(RequestError, match=r"must be a list of|token \d of \d is"):
        make(given)


@pytest.mark.parametrize("sample", ["rand", {"kind": "rand", "alpha": 5.0, "seed": 1}])
def test_the_constructor_takes_only_a_sample_as_sample(sample):
    with pytest.raises(RequestError, match=r"make one with WithdrawalRequest\.random"):
        WithdrawalRequest(sample=sample)


@pytest.mark.parametrize("scope", ["test", "ALL", "", ["all"]])
def test_scopes_are_train_and_all(scope):
    with pytest.raises(RequestError, match="the scope is not known; allowed: train, all"):
        WithdrawalRequest(("u1",), scope=scope)
    if scope:
        with pytest.raises(RequestError, match="the scope is not known"):
            WithdrawalRequest.users(["u1"]).resolve(ROWS, scope)


@pytest.mark.parametrize("alpha", [0, 100, -1, float("nan"), True, "5"])
def test_alpha_is_a_share(alpha):
    with pytest.raises(RequestError, match="strictly between 0 and 100"):
        WithdrawalRequest.random(alpha, seed=1)
    with pytest.raises(RequestError, match="strictly between 0 and 100"):
        Sample("rand", alpha, 1)


@pytest.mark.parametrize("kind", ["cores", None, ["rand"]])
def test_kinds_of_samples_are_named(kind):
    with pytest.raises(RequestError, match=r"kind is not known;.* allowed: rand, core, edge, interactions"):
        WithdrawalRequest.random(5, 1, kind)


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
        ("r.json", '{"interactions": [[1, " i2"]]}', WithdrawalRequest.interactions([("1", "i2")])),
        (
            "r.csv",
            "user_id\nNan\n",
            WithdrawalRequest.users(["Nan"]),
        ),  # a name: pandas reads NaN and nan as missing only
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
        ("r.json", b'{"user": [1]}', "1 of 1 keys are not known; did you mean 'users'? allowed: users,"),
        ("r.json", b'{"users": [NaN]}', "NaN is not a token"),
        ("r.json", b'{"users": 5}', "users must be a list"),
        ("r.json", b'{"users": "196"}', "users must be a list"),
        ("r.json", b'{"users": {"196": 1}}', "users must be a list"),
        ("r.json", b'{"items": null}', "items must be a list"),
        ("r.json", b'{"users": [["196"]]}', "user token 1 of 1 is of type list"),
        ("r.json", b'{"users": ["u1", 1.0]}', "user token 2 of 2 is of type float"),
        ("r.json", b'{"users": ["u1", true]}', "user token 2 of 2 is of type bool"),
        ("r.json", b'{"interactions": {"u1": "i1"}}', "list of [user, item] pairs"),
        ("r.json", b'{"interactions": ["u1", "i1"]}', "number 1 of 2 is of type str"),
        ("r.json", b'{"users": []}', "the request is empty"),
        ("r.json", b'{"interactions": [[1, 2, 3]]}', "interactions"),
        ("r.json", b'{"interactions": [1]}', "interactions"),
        ("r.json", b'{"users": ["u1"], "scope": "test"}', "the scope is not known; allowed: train, all"),
        ("r.json", b'{"sample": {"alpha": 5, "seed": -1}}', "seed is -1"),
        ("r.json", b'{"users": ["u1"], "users": ["u2"]}', "is repeated"),
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


ANN, BOB = "ann-1f7a93@shop.de", "bob-5c20e8@shop.de"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv", f"{ANN}\n{BOB}\n"),  # no header: the first line is a person
        ("r.csv", f"{ANN},{ANN}\n"),
        ("r.csv", f"user_id,{ANN}\n{BOB}\n"),
        ("r.csv", f"user_id,{ANN}\n,{BOB}\n"),
        ("r.csv", f'user_id\n"{ANN}\n'),
        ("r.csv", f"user_id\n{ANN}\n\x00{BOB},\n"),
        ("r.csv", f"user_{ANN[:4]}id,item_id\n{BOB},1\n"),
        ("r.csv", f"user_id\n{ANN}\n".encode() + b"\xff"),
        ("r.json", f'{{"{ANN}": ["{BOB}"]}}'),
        ("r.json", f'{{"users": ["{ANN}"], "{BOB}": 1, "{BOB}": 2}}'),
        ("r.json", f'{{"users": "{ANN}"}}'),
        ("r.json", f'{{"users": {{"{ANN}": "{BOB}"}}}}'),
        ("r.json", f'{{"users": ["{ANN}", ["{BOB}"]]}}'),
        ("r.json", f'{{"users": ["{ANN}", NaN]}}'),
        ("r.json", f'{{"users": ["{ANN}", "{BOB}'),
        ("r.json", f'{{"users": ["\\ud800{ANN}"]}}'),
        ("r.json", f'{{"interactions": ["{ANN}"]}}'),
        ("r.json", f'{{"interactions": [["{ANN}", "{BOB}", 1]]}}'),
        ("r.json", f'{{"sample": "{ANN}"}}'),
        ("r.json", f'{{"sample": {{"{ANN}": 5}}}}'),
        ("r.json", f'{{"sample": {{"alpha": "{ANN}", "seed": 1}}}}'),
        ("r.json", f'{{"sample": {{"alpha": 5, "seed": "{ANN}"}}}}'),
        ("r.json", f'{{"sample": {{"alpha": 5, "seed": 1, "kind": "{ANN}"}}}}'),
        ("r.json", f'{{"users": ["{ANN}"], "scope": "{BOB}"}}'),
    ],
)
def test_no_error_about_a_file_names_anybody(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RequestError) as error:
        WithdrawalRequest.from_file(tmp_path / name)
    told = str(error.value)
    assert not [word for word in (ANN, BOB, "ann-", "bob-") if word in told]
    assert len(told.removeprefix(str(tmp_path))) < 220


people = st.integers(0, 10**9).map(lambda number: f"person-{number:010d}@shop.de")
things = st.integers(0, 10**9).map(lambda number: f"thing-{number:010d}")


@settings(max_examples=200, deadline=None)
@given(
    st.data(),
    st.lists(people, min_size=1, max_size=4, unique=True),
    st.lists(things, min_size=1, max_size=4, unique=True),
)
def test_whatever_is_refused_nobody_is_named(tmp_path_factory, data, users, items):
    """Tokens of ten digits stand in no message by chance."""
    user_tokens, item_tokens = np.array(["[PAD]", *users]), np.array(["[PAD]", *items])
    index = [{token: place for place, token in enumerate(tokens)} for tokens in (user_tokens, item_tokens)]
    rows = Interactions(np.arange(len(users)) + 1, np.ones(len(users), int), user_tokens, item_tokens, *index)
    anybody = st.sampled_from(users) | people
    anything = st.sampled_from(items) | things
    odd = anybody | anything | st.none() | st.booleans() | st.floats() | st.binary(max_size=3)
    nested = st.recursive(odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anybody, inner, max_size=2))
    wanted = {
        "users": st.lists(anybody, max_size=3) | nested,
        "items": st.lists(anything, max_size=3) | nested,
        "interactions": st.lists(st.tuples(anybody, anything), max_size=3) | nested,
    }
    given_ = data.draw(st.fixed_dictionaries({}, optional=wanted))
    names = ("user_tokens", "item_tokens", "pair_tokens")
    as_arguments = dict(zip(names, (given_.get(key, ()) for key in ("users", "items", "interactions")), strict=True))
    path = tmp_path_factory.mktemp("named") / "r.json"
    more = data.draw(st.just({}) | st.dictionaries(anybody, odd, max_size=1))
    path.write_text(json.dumps({**given_, **more}, default=repr))
    for make in (lambda: WithdrawalRequest(**as_arguments), lambda: WithdrawalRequest.from_file(path)):
        try:
            make().resolve(rows)
        except RequestError as error:
            told = str(error).removeprefix(str(path))
            assert "person-" not in told
            assert "thing-" not in told


SPELT = ["[PAD]", "u1", " u2", "u3\u00a0", "4", " 4", "\t4", "5 "]


def spelt_rows():
    index = by_name(SPELT, {token: id_ for id_, token in enumerate(SPELT)})
    tokens = np.array(SPELT)
    return Interactions(np.arange(8)[1:], np.arange(8)[:0:-1], tokens, tokens, index, index)


def test_outer_blanks_are_no_part_of_a_token():
    rows = spelt_rows()
    assert rows.user_index == {"[PAD]": 0, "u1": 1, "u2": 2, "u3": 3, "4": AMBIGUOUS, "5": 7}
    for spelling in ("u2", " u2", "u2 ", "\u00a0u2\n"):
        assert rows.user_ids([spelling, "u3", 5]).tolist() == [2, 3, 7]
    withdrawal = WithdrawalRequest.interactions([("u2", "u3"), (" u2", 5)]).resolve(rows)
    assert withdrawal.request.pair_tokens == (("u2", "u3"), ("u2", "5"))
    assert (withdrawal.forget.sum(), withdrawal.absent) == (0, 2)  # the user's one row is with the sixth item
    assert np.flatnonzero(WithdrawalRequest.users([" u3"]).resolve(rows).forget).tolist() == [2]


@pytest.mark.parametrize("spelling", ["4", " 4", 4, "\t4"])
def test_ids_that_differ_in_outer_blanks_only_cannot_be_named(spelling):
    with pytest.raises(RequestError, match="1 of 2 item tokens match several items of the data set") as error:
        WithdrawalRequest.items(["u1", spelling]).resolve(spelt_rows())
    assert "4" not in str(error.value)


def test_an_index_without_outer_blanks_is_used_as_it_is():
    index = {"[PAD]": 0, "u1": 1}
    assert by_name(["[PAD]", "u1"], index) is index
    assert by_name(["[PAD]", " [PAD]"], {"[PAD]": 0, " [PAD]": 1}) == {"[PAD]": 1}


def test_a_drawn_request_names_tokens_without_outer_blanks():
    tokens = np.array(["[PAD]", " u1", "u2 ", "u3"])
    index = by_name(tokens.tolist(), {token: id_ for id_, token in enumerate(tokens)})
    rows = Interactions(np.array([1, 2, 3]), np.array([1, 2, 3]), tokens, tokens, index, index)
    drawn = WithdrawalRequest.random(67, 1).resolve(rows)
    assert set(drawn.request.user_tokens) < {"u1", "u2", "u3"}
    assert drawn.request.user_tokens == tuple(str(rows.user_tokens[user]).strip() for user in drawn.users)
    pairs = WithdrawalRequest.random(67, 1, "interactions").resolve(rows)
    assert pairs.forget.sum() == 2
    assert {user for user, _ in pairs.request.pair_tokens} < {"u1", "u2", "u3"}


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
