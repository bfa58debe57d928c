"""Reasons of errors hold no row of a file."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_unlearn.exceptions import reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("Expected 2 fields in line 3, saw 3"), "ValueError: Expected 2 fields in line 3, saw 3"),
        (pd.errors.ParserError("'\t' expected after '\"'"), "ParserError: text follows a closing quote"),
        (
            ValueError("could not convert string to float: 'müller'"),
            "ValueError: could not convert string to float: ...",
        ),
        (
            ValueError('Unable to parse string "o\'neill" at position 7'),
            "ValueError: Unable to parse string ... at position 7",
        ),
        (ValueError("can't read 'ann' here"), "ValueError: can't read ... here"),
        (ValueError("invalid load key, b'\\xfcller'."), "ValueError: invalid load key, ...."),
        (ValueError("'ann' is not 'bob' in column 2"), "ValueError: ... in column 2"),
        (ValueError("no end: ' ann"), "ValueError: no end: ..."),
        (ValueError("no end: 'ann's shop"), "ValueError: no end: ..."),
        (
            ValueError(
                "Usecols do not match columns, columns expected but not found: ['user_id:token', 'x:float_seq']"
            ),
            "ValueError: Usecols do not match columns, columns expected but not found: ['user_id:token', 'x:float_seq']",
        ),
        (ValueError("not found: ['ann:b@c', 'x:float']"), "ValueError: not found: ..."),
        (ValueError("Unable to convert column rating:float"), "ValueError: Unable to convert column rating:float"),
        (ValueError("Field [rating] not defined in dataset."), "ValueError: Field [rating] not defined in dataset."),
        (ValueError("token [ann@shop.de] is not existed"), "ValueError: token ... is not existed"),
        (
            ValueError("Type b@c from field ann is not supported."),
            "ValueError: a column in line 1 has an unknown type.",
        ),
        (LookupError("unknown encoding: foo"), "LookupError: unknown encoding: foo"),
        (TypeError("must be str or None, not int"), "TypeError: must be str or None, not int"),
        (KeyError("user_id"), "KeyError: 'user_id'"),
        (KeyError("ann@shop.de"), "KeyError"),
        (KeyError("müller"), "KeyError"),
        (KeyError(196), "KeyError"),
        (KeyError("['ann'] not found in axis"), "KeyError"),
        (KeyError(), "KeyError"),
        (FileNotFoundError(2, "No such file or directory", "ann.csv"), "FileNotFoundError: No such file or directory"),
        (ValueError(), "ValueError"),
        (ValueError("\n\n  first\nsecond: ann\n"), "ValueError: first"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 200),
        (
            UnicodeEncodeError("latin-1", "ann€", 3, 4, "x"),
            "UnicodeEncodeError: latin-1 has no letter for the one at position 3",
        ),
    ],
)
def test_reasons(error, expected):
    assert reason(error) == expected


def raised(action):
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("no error")


def test_an_encoding_is_named_and_its_text_is_not():
    error = raised(lambda: (b"ann;" * 1000 + "müller".encode("latin-1")).decode())
    assert len(repr(error)) > 4000
    assert reason(error) == "UnicodeDecodeError: no utf-8 at byte 4001; set `encoding` to that of the file"


names = st.text("abcäß0-@.'\"` \\[]\t", min_size=1, max_size=8).map(
    lambda text: f"Zz9{text}@Zz9"
)  # no identifier, which might be a column


@given(names)
def test_what_numbers_and_tables_say_of_a_token_is_left_out(name):
    frame = pd.DataFrame({"a": [1.0]})
    errors = [
        raised(lambda: float(name)),
        raised(lambda: int(name)),
        raised(lambda: np.array([name]).astype(float)),
        raised(lambda: pd.to_numeric(pd.Series([name]))),
        raised(lambda: pd.read_csv(io.StringIO("a\n1\n"), usecols=[name])),
        raised(lambda: frame[name]),
        raised(lambda: frame.drop(columns=[name])),
        raised(lambda: getattr(frame, name)),
        ValueError(f"token [{name}] is not existed in user_id"),
        ValueError(f"Type {name} from field {name} is not supported."),
    ]
    for error in errors:
        assert "Zz9" not in reason(error), error
        assert re.fullmatch(r"\w+(: .{1,200})?", reason(error))
