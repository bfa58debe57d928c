"""Which collections name people and items, and which only look like it."""

import enum
import io
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_unlearn.data.tokens import pairs_of, tokens_of
from recbole_unlearn.exceptions import RequestError

FRAME = pd.DataFrame({"user_id": ["u1", "u2"], "item_id": ["i1", "i2"]})


class Letters(str, enum.Enum):  # noqa: UP042 - it prints as Letters.A
    A = "u1"


class Numbers(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        (["u1", "u2"], ("u1", "u2")),
        (("u2", "u1", "u2"), ("u2", "u1", "u2")),
        ([], ()),
        ({"u1"}, ("u1",)),
        (frozenset({7}), ("7",)),
        ({"u1": 1, "u2": 2}.keys(), ("u1", "u2")),
        ({1: "u1"}.values(), ("u1",)),
        ((f"u{k}" for k in range(2)), ("u0", "u1")),
        (map(str, [196]), ("196",)),
        (range(2), ("0", "1")),
        (deque(["u1"]), ("u1",)),
        ([196, np.int64(22), np.uint8(3), " 7 ", "007", "1e3"], ("196", "22", "3", "7", "007", "1e3")),
        ([np.str_(" u1"), Letters.A, Numbers.ONE], ("u1", "u1", "1")),
        (["\u00a0u1\n", "ü 2", "Nan", "NA", "null"], ("u1", "ü 2", "Nan", "NA", "null")),
        (np.array(["u1", "u22"]), ("u1", "u22")),
        (np.array([1, 22]), ("1", "22")),
        (np.array(["u1", 2], dtype=object), ("u1", "2")),
        (FRAME["user_id"], ("u1", "u2")),
        (FRAME.set_index("user_id").index, ("u1", "u2")),
        (pd.Series([1, 2], dtype="Int64"), ("1", "2")),
        (pd.Series(["u1", "u1"], dtype="category"), ("u1", "u1")),
        (pd.Index([3, 4]), ("3", "4")),
        (torch.tensor([1, 22]), ("1", "22")),
    ],
)
def test_collections_of_tokens(given, tokens):
    found = tokens_of(given)
    assert found == tokens
    assert {type(token) for token in found} <= {str}


NO_LIST = [
    ("196", "given one of type str"),
    (np.str_("196"), "given one of type str_"),
    (b"196", "given one of type bytes"),
    (bytearray(b"196"), "given one of type bytearray"),
    (memoryview(b"196"), "given one of type memoryview"),
    (196, "given one of type int"),
    (1.5, "given one of type float"),
    (np.int64(196), "given one of type int64"),
    (None, "given one of type NoneType"),
    (True, "given one of type bool"),
    ({"u1": "i1"}, "given one of type dict"),
    (pd.Series(["u1"]).to_frame(), "given a DataFrame, whose elements are names of columns"),
    (FRAME, "given a DataFrame, whose elements are names of columns"),
    (Path("u1"), "given one of type PosixPath"),
    (io.StringIO("u1\nu2"), "given one of type StringIO"),
    (np.array("196"), "given a ndarray of 0 dimensions"),
    (np.array(196), "given a ndarray of 0 dimensions"),
    (torch.tensor(196), "given a Tensor of 0 dimensions"),
    (np.array(["2020-01-01"], dtype="datetime64[ns]"), "given a ndarray of dates or times"),
    (np.array([5], dtype="timedelta64[ns]"), "given a ndarray of dates or times"),
    (pd.Series(pd.to_datetime(["2020-01-01"])), "given a Series of dates or times"),
]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        *NO_LIST,
        (np.array([["u1", "u2"]]), "given a ndarray of 2 dimensions"),
        (torch.tensor([[1, 2]]), "given a Tensor of 2 dimensions"),
    ],
)
def test_what_only_iterates_like_a_list_of_tokens(given, fault):
    with pytest.raises(RequestError) as error:
        tokens_of(given)
    assert str(error.value).startswith(f"users must be a list of tokens, also for a single one; {fault}")
    assert "196" not in str(error.value)
    with pytest.raises(RequestError, match="items must be a list of tokens"):
        tokens_of(given, "item")


@pytest.mark.parametrize(
    ("element", "fault"),
    [
        (True, "of type bool"),
        (np.bool_(True), "of type bool_?"),
        (1.0, "of type float"),
        (np.float64(1), "of type float64"),
        (float("nan"), "of type float"),
        (None, "of type NoneType"),
        (b"u1", "of type bytes"),
        (["u1"], "of type list"),
        (("u1", "i1"), "of type tuple"),
        (np.array(["u1"]), "of type ndarray"),
        (np.timedelta64(5, "s"), "of type timedelta64"),
        (torch.tensor(5), "of type Tensor"),
        (pd.NA, "of type NAType"),
        (pd.Timestamp("2020-01-01"), "of type Timestamp"),
        ("", "empty or NaN"),
        (" \t\u00a0", "empty or NaN"),
        ("nan", "empty or NaN"),
        (" NaN ", "empty or NaN"),
        ("u\ud800", "no text that can be written as utf-8"),
        pytest.param(10**5000, "a number of too many digits", id="digits"),
    ],
)
def test_elements_are_strings_or_whole_numbers(element, fault):
    with pytest.raises(RequestError, match=f"user token 2 of 3 is {fault}; a token is a string or a whole number"):
        tokens_of(["u1", element, "u3"])
    with pytest.raises(RequestError, match=f"item token 1 of 1 is {fault}"):
        pairs_of([("u1", element)])


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (np.array([1.0, 2.0]), "of type float"),
        (np.array([b"u1"]), "of type bytes"),
        (np.array([True]), "of type bool"),
        (torch.tensor([1.0]), "of type float"),
        (torch.tensor([True]), "of type bool"),
        (pd.Series([1, None]), "of type float"),
        (pd.Series(["u1", None])[1:], "of type NoneType"),
        (np.ma.masked_array([1, 2], [True, False]), "of type NoneType"),
        (FRAME.set_index(["user_id", "item_id"]).index, "of type tuple"),
        ({"u1": "i1"}.items(), "of type tuple"),
    ],
)
def test_collections_of_something_else(given, fault):
    with pytest.raises(RequestError, match=f"user token 1 of . is {fault}"):
        tokens_of(given)


EXPECTED = (("u1", "i1"), ("u2", "i2"))


@pytest.mark.parametrize(
    "given",
    [
        [("u1", "i1"), ("u2", "i2")],
        [["u1", " i1"], ("u2", "i2\u00a0")],
        (("u1", "i1"), ("u2", "i2")),
        [np.array(["u1", "i1"]), pd.Series(["u2", "i2"])],
        np.array([["u1", "i1"], ["u2", "i2"]]),
        np.array([["u1", "i1"], ["u2", "i2"]], dtype=object),
        zip(["u1", "u2"], ["i1", "i2"], strict=True),
        (pair for pair in [("u1", "i1"), ("u2", "i2")]),
        {"u1": "i1", "u2": "i2"}.items(),
        {("u1", "i1"): 5, ("u2", "i2"): 4}.keys(),
        FRAME.itertuples(index=False),
        FRAME.to_numpy(),
        FRAME.to_records(index=False),
        FRAME.set_index(["user_id", "item_id"]).index,
        pd.Series([("u1", "i1"), ("u2", "i2")]),
    ],
)
def test_collections_of_pairs(given):
    assert pairs_of(given) == EXPECTED


def test_pairs_of_numbers():
    assert pairs_of(torch.tensor([[1, 2], [3, 4]])) == (("1", "2"), ("3", "4"))
    assert pairs_of(np.array([[1, 2]])) == (("1", "2"),)
    assert pairs_of([torch.tensor([1, 2])]) == (("1", "2"),)
    assert pairs_of({(1, 2)}) == (("1", "2"),)
    assert pairs_of([]) == pairs_of(np.empty((0, 2), dtype=int)) == ()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        *NO_LIST,
        (["ab"], "number 1 of 1 is of type str"),
        ([b"ab"], "number 1 of 1 is of type bytes"),
        (("u1", "i1"), "number 1 of 2 is of type str"),
        ([1, 2], "number 1 of 2 is of type int"),
        (np.array(["u1", "i1"]), "number 1 of 2 is of type str"),
        ([("u1", "i1"), {"u2", "i2"}], "number 2 of 2 is of type set"),
        ([frozenset({"u2", "i2"})], "number 1 of 1 is of type frozenset"),
        ([{"u1": 1, "i1": 2}], "number 1 of 1 is of type dict"),
        ([{"u1": 1, "i1": 2}.keys()], "number 1 of 1 is of type dict_keys"),
        ([iter(["u1", "i1"])], "number 1 of 1 is of type list_iterator"),
        ([("u1", "i1", 5)], "number 1 of 1 has 3 elements"),
        ([("u1",)], "number 1 of 1 has 1 elements"),
        ([()], "number 1 of 1 has 0 elements"),
        ([None], "number 1 of 1 is of type NoneType"),
        ([np.array([["u1", "i1"]])], "number 1 of 1 is of type ndarray"),
        (np.array([["u1", "i1", "x"]]), "number 1 of 1 has 3 elements"),
        (np.array([[["u1", "i1"]]]), "given a ndarray of 3 dimensions"),
        (FRAME.itertuples(), "number 1 of 2 has 3 elements"),
        ([[("u1", "u2"), "i1"]], "user token 1 of 1 is of type tuple"),
        ([["u1", ["i1"]]], "item token 1 of 1 is of type list"),
        (FRAME.iterrows(), "user token 1 of 2 is of type|item token 1 of 2 is of type Series"),
    ],
)
def test_what_only_looks_like_pairs(given, fault):
    with pytest.raises(RequestError) as error:
        pairs_of(given)
    assert any(part in str(error.value) for part in fault.split("|"))
    assert "196" not in str(error.value)
