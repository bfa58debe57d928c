"""Conditions of a request: which fields and values they take, and whom they mean in the files of a data set."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.condition import Condition
from recbole_unlearn.data.matching import in_tokens, matched
from recbole_unlearn.exceptions import InputError, NobodyMatchesError, RequestError
from recbole_unlearn.testing import write_inter

USERS = """user_id:token\tspammer:token\tage:float\thobbies:token_seq\tmail:token\tscores:float_seq
u1\t1\t17\tchess tennis\tann@shop\t1 2
 u2 \t0\t18\ttennis\tbob@shop\t1 2
u3\t1\t40.5\tcards\tcy@shop\t1 2
ghost\t1\t99\tcards\tdi@shop\t1 2
u4\t\t\t\teve@shop\t1 2
u1\t0\t17\tchess\tann@shop\t1 2
"""
ITEMS = "item_id:token\tclass:token_seq\ni1\tHorror Drama\ni2\tDrama\ni3\tHorror\n"


@pytest.fixture
def files(tmp_path):
    inter = write_inter(tmp_path, "tiny")
    inter.with_suffix(".user").write_text(USERS)
    inter.with_suffix(".item").write_text(ITEMS)
    return inter


@pytest.fixture
def dataset(files, make_config):
    return create_dataset(make_config(data_path=str(files.parents[1])))


def users_where(field, **condition):
    return WithdrawalRequest.users_where(field, **condition)


@pytest.mark.parametrize(
    ("field", "condition", "users"),
    [
        ("spammer", {"equals": 1}, ("u1", "u3", "ghost")),
        ("spammer", {"equals": "0"}, ("u2", "u1")),
        ("spammer", {"equals": [" 0 ", np.int64(1)]}, ("u1", "u2", "u3", "ghost")),
        ("hobbies", {"contains": "chess"}, ("u1",)),
        ("hobbies", {"contains": ["cards", "chess"]}, ("u1", "u3", "ghost")),
        ("age", {"equals": 40.5}, ("u3",)),
        ("age", {"equals": [17, 18]}, ("u1", "u2")),
        ("age", {"at_least": 18}, ("u2", "u3", "ghost")),
        ("age", {"at_most": 18}, ("u1", "u2")),
        ("age", {"at_least": 18, "at_most": 50}, ("u2", "u3")),
    ],
)
def test_who_meets_a_condition(field, condition, users, dataset):
    assert matched(users_where(field, **condition), dataset.config).user_tokens == users


def test_a_condition_is_the_request_that_names_them(dataset, caplog):
    request = in_tokens(users_where("spammer", equals=1) | WithdrawalRequest.interactions([("u9", "i1")]), dataset)
    named = WithdrawalRequest.users(["u1", "u3"]) | WithdrawalRequest.interactions([("u9", "i1")])
    assert request == named
    assert "1 of 3 users that match users_where have no row and are left out" in caplog.text
    assert "ghost" not in caplog.text
    rows = dataset.interactions()
    assert request.resolve(rows).digest == named.resolve(rows).digest


def test_conditions_of_items_stand_beside_other_names(files, dataset):
    Path("r.json").write_text(
        json.dumps({"users": ["u5"], "items_where": {"field": "class", "contains": "Horror"}, "scope": "train"})
    )
    request = in_tokens(WithdrawalRequest.from_file("r.json"), dataset)
    assert request == dataclasses.replace(
        WithdrawalRequest.users(["u5"]) | WithdrawalRequest.items(["i1", "i3"]), scope="train"
    )
    files.with_suffix(".item").write_text(ITEMS + "i4\tHorror\n")
    assert in_tokens(WithdrawalRequest.from_file("r.json"), dataset).item_tokens == ("i1", "i3", "i4")
    with pytest.raises(RequestError, match=r"1 of 3 user tokens are not in the data set"):
        in_tokens(WithdrawalRequest.users(["ghost"]) | users_where("spammer", equals=1), dataset).resolve(
            dataset.interactions()
        )


def test_who_is_filtered_is_left_out_of_a_comparison(files, make_config):
    files.write_text(files.read_text() + "rare\ti1\t3\t1\n")
    files.with_suffix(".user").write_text("user_id:token\tspammer:token\nrare\t1\nu1\t1\n")
    dataset = create_dataset(make_config(data_path=str(files.parents[1]), user_inter_num_interval="[5,inf)"))
    assert in_tokens(users_where("spammer", equals=1), dataset).user_tokens == ("u1",)
    files.with_suffix(".user").write_text("user_id:token\tspammer:token\nrare\t1\n")
    with pytest.raises(RequestError, match="none of 1 users that match users_where has a row"):
        in_tokens(users_where("spammer", equals=1), dataset)


def test_the_files_of_a_condition_change_neither_ids_nor_features(files, dataset, make_config):
    assert dataset.user_feat is None
    in_tokens(users_where("spammer", equals=1), dataset)
    assert dataset.user_feat is None
    assert "ghost" not in dataset.field2id_token["user_id"]


def test_other_separators_and_names_of_columns(files, make_config):
    folder = files.parents[1]
    for end in ("inter", "user"):
        path = files.with_suffix(f".{end}")
        path.write_text(
            path.read_text().replace("user_id", "uid").replace("\t", "::").replace("chess tennis", "chess|x")
        )
    keys = {"USER_ID_FIELD": "uid", "field_separator": "::", "seq_separator": "|"}
    load = {"inter": ["uid", "item_id", "rating", "timestamp"]}
    dataset = create_dataset(make_config(data_path=str(folder), load_col=load, **keys))
    assert in_tokens(users_where("hobbies", contains="chess"), dataset).user_tokens == ("u1",)


def test_a_request_with_conditions_is_saved_and_read_again(dataset):
    request = users_where("age", at_least=18.5, at_most=20) | WithdrawalRequest.items_where("class", contains="Horror")
    request |= WithdrawalRequest.users(["u7"])
    request.save("r.json")
    assert WithdrawalRequest.from_file("r.json") == request
    assert bool(users_where("age", equals=1))
    with pytest.raises(RequestError, match=r"cannot be joined; carry them out one by one"):
        request | users_where("spammer", equals=1)
    with pytest.raises(RequestError, match=r"training rows alone do not say who meets it"):
        request.resolve(dataset.interactions())


FORMS = {
    "no object": ("spammer", "users_where is of type str; it is one condition: write it like"),
    "a list": ([{"field": "spammer", "equals": 1}], "of type list"),
    "an unknown key": (
        {"field": "a", "equal": 1},
        "1 of 2 keys are not known; did you mean 'equals'? allowed: field, equals",
    ),
    "no field": ({"equals": 1}, "names no field"),
    "a field that is no text": ({"field": 1, "equals": 1}, "names no field"),
    "nothing to compare": ({"field": "a"}, "has no value to compare with; it takes equals, or contains, or at_least"),
    "two comparisons": ({"field": "a", "equals": 1, "at_most": 2}, "has equals and at_most"),
    "no value": ({"field": "a", "equals": []}, "equals is an empty list; name at least one value"),
    "null": ({"field": "a", "equals": None}, "equals has a value of type NoneType; allowed: texts and numbers"),
    "true": ({"field": "a", "equals": True}, "of type bool; allowed: texts and numbers"),
    "an empty text": ({"field": "a", "contains": ["b", " "]}, "contains has an empty text or NaN"),
    "a limit in words": ({"field": "a", "at_least": "5"}, "at_least has a value of type str; allowed: a number"),
    "infinity": ({"field": "a", "at_most": 1e999}, "a number that is too large"),
}


@pytest.mark.parametrize("case", FORMS)
def test_what_is_no_condition(case, tmp_path):
    given, message = FORMS[case]
    with pytest.raises(RequestError) as error:
        Condition.of(given, "users_where")
    assert message in str(error.value)
    if case != "infinity":  # which json refuses by itself
        Path("r.json").write_text(json.dumps({"users_where": given}))
        with pytest.raises(RequestError) as error:
            WithdrawalRequest.from_file("r.json")
        assert str(error.value).startswith("r.json: users_where")


def test_a_drawn_request_takes_no_condition():
    Path("r.json").write_text(
        json.dumps({"sample": {"alpha": 5, "seed": 1}, "users_where": {"field": "a", "equals": 1}})
    )
    with pytest.raises(RequestError, match="a drawn request takes no condition"):
        WithdrawalRequest.from_file("r.json")


MISFITS = {
    "an unknown field": (
        {"field": "spamer", "equals": 1},
        "did you mean 'spammer'? there are: spammer (token), age (float)",
    ),
    "the tokens themselves": ({"field": "user_id", "equals": "u1"}, "does not have beside 'user_id'"),
    "contains of a token": (
        {"field": "spammer", "contains": 1},
        "is of type token, and contains was given; such a field",
    ),
    "equals of a list": ({"field": "hobbies", "equals": "chess"}, "such a field takes contains"),
    "a limit of tokens": ({"field": "spammer", "at_least": 1}, "such a field takes equals"),
    "a list of floats": ({"field": "scores", "equals": 1}, "conditions cannot ask such a field"),
    "a decimal number of tokens": ({"field": "spammer", "equals": 1.0}, "so equals takes texts or whole numbers"),
    "a text of floats": ({"field": "age", "equals": "17"}, "'age' is of type float, so equals takes numbers"),
    "nobody": (
        {"field": "spammer", "equals": 2},
        "no user matches users_where; 'spammer' has 2 values there; the most frequent ",
    ),
    "nobody of these values": (
        {"field": "mail", "equals": "zoe"},
        "'mail' has 5 values there; the most frequent are 'ann@shop'",
    ),
    "nobody in a list": ({"field": "hobbies", "contains": "golf"}, "has 3 values there; the most frequent are"),
    "nobody of this age": ({"field": "age", "at_least": 100}, "'age' has"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_conditions_that_do_not_fit_the_file(case, dataset):
    given, message = MISFITS[case]
    with pytest.raises(RequestError) as error:
        in_tokens(WithdrawalRequest(users_match=Condition.of(given, "users_where")), dataset)
    text = str(error.value)
    assert message in text
    assert isinstance(error.value, NobodyMatchesError) == case.startswith("nobody")
    assert not any(secret in text for secret in ("spamer", "zoe", "u1", "ghost", "bob@shop", "golf"))


FILES = {
    "no file": (None, "which does not exist; write this atomic file, with the columns user_id:token and the field"),
    "no users": ("spammer:token\n1\n", "has no column 'user_id'"),
    "no types": ("user_id\tspammer\nu1\t1\n", "line 1 names no types"),
    "a short row": (
        "user_id:token\tspammer:token\tx:token\nu1\t1\t\n\nu2\n",
        "row 4, with line 1 as the first, has 1 fields",
    ),
    "a quotation that never ends": ('user_id:token\tspammer:token\nu1\t"1\n', "cannot be read: Error"),
    "words for numbers": ("user_id:token\tspammer:float\nu1\tyes\n", "a row has another text in it"),
    "another encoding": (b"user_id:token\tspammer:token\nu1\t\xe9\n", "cannot be read: UnicodeDecodeError"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_asked(case, files, dataset):
    content, message = FILES[case]
    path = files.with_suffix(".user")
    path.unlink() if content is None else path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        in_tokens(users_where("spammer", equals=1), dataset)
    assert message in str(error.value)
