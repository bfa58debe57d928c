"""A file that RecBole would read wrongly is refused with one line that says what is wrong and what to do."""

import codecs
import gzip
from pathlib import Path

import pytest

from recbole_unlearn.cli import main
from recbole_unlearn.data.atomic_file import check_header, check_rows
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.testing import write_inter

WHOLE = "--load_col={'inter':['user_id','item_id','rating','timestamp']}"
BY_TIME = "--eval_args={'order':'TO','split':{'RS':[0.8,0.1,0.1]},'group_by':'user','mode':'full'}"


def swapped(old, new):
    return lambda text: text.replace(old, new).encode()


def rows_with(last):
    """Return a function that gives every row this last field."""
    return lambda text: "\n".join(
        line if line.startswith("user_id") else f"{line.rpartition(chr(9))[0]}\t{last}" for line in text.splitlines()
    ).encode()


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        (swapped("\t", ","), [], "separated by commas, and field_separator is '\\t'; set field_separator to ','"),
        (swapped("\t", ";"), [], "set field_separator to ';'"),
        (swapped("\t", "::"), [], "set field_separator to '::'"),
        (swapped("\t", " "), [], "separated by blanks"),
        (lambda text: codecs.BOM_UTF8 + text.encode(), [], "byte order mark, which RecBole takes for part of"),
        (lambda text: gzip.compress(text.encode()), [], "is compressed, and RecBole reads text; unpack it"),
        (lambda text: text.encode("utf-16"), [], "set `encoding`"),
        (swapped(":token", ""), [], "in line 1 has an unknown type or none"),
        (lambda text: text.replace(":token", "").replace(":float", "").encode(), [], "line 1 names no types"),
        (lambda text: text.partition("\n")[2].encode(), [], "line 1 names no types, or names of columns are missing"),
        (swapped("rating:float", "rating:int"), [], "column 3 of the 4 in line 1 has an unknown type or none"),
        (swapped("user_id:token", '"user_id:token"'), [], "stand in quotes or beside blanks"),
        (swapped("item_id:token", " item_id:token"), [], "stand in quotes or beside blanks"),
        (swapped("user_id", "uid"), [], "check USER_ID_FIELD, and the 4 names in line 1"),
        (swapped("user_id:token", "user_id:float"), [], "users and items are of type token: write user_id:token"),
        (swapped("rating:float", "timestamp:float"), [], "columns 3 and 4 have one name in line 1"),
        (lambda text: b"", [], "line 1 is empty"),
        (lambda text: (text.partition("\n")[0] + "\n").encode(), [], "has no row after line 1"),
        (rows_with("2024-01-02"), [WHOLE], "the column 'timestamp' is of type float, and some of its fields are no"),
        (swapped("\t3\t", "\t3,5\t"), [WHOLE], "decimal commas; write numbers with a point"),
        (lambda text: text.replace("\t3\t", "\t", 1).encode(), [WHOLE], "has 3 fields and line 1 names 4 columns"),
        (str.encode, ["--load_col={'inter':['item_id','rating']}"], "load_col does not name 'user_id'"),
        (
            str.encode,
            [BY_TIME, "--load_col={'inter':['user_id','item_id']}"],
            "add 'timestamp' to the columns of inter",
        ),
        (swapped("timestamp", "at"), [BY_TIME, "--load_col=None"], "set TIME_FIELD to the column of times"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change, arguments, told, capsys):
    path = write_inter(Path("data"), "bad")
    path.write_bytes(change(path.read_text()))
    common = ["--dataset=bad", "--data_path=data", "--model=BPR", "--methods=Retrain", "--dry_run=True"]
    assert main([*common, *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert told in said[-1]
    assert len(said) == 1
    assert "unpack" not in said[-1] or "compressed" in said[-1]


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        (swapped("\t", ","), ["--field_separator=,"]),
        (swapped("\t", "::"), ["--field_separator=::"]),
        (lambda text: codecs.BOM_UTF8 + text.encode(), ["--encoding=utf-8-sig"]),
        (lambda text: text.encode("utf-16"), ["--encoding=utf-16"]),
        (swapped("user_id", "uid"), ["--USER_ID_FIELD=uid", "--load_col={'inter':['uid','item_id']}"]),
        (swapped("\n", "\r\n"), []),
        (lambda text: text.replace("\t3\t", "\t\t", 1).encode(), [WHOLE]),
        (lambda text: (text + "\n").encode(), [WHOLE]),
    ],
)
def test_what_the_line_says_to_do_helps(change, arguments, capsys):
    path = write_inter(Path("data"), "bad")
    path.write_bytes(change(path.read_text()))
    common = ["--dataset=bad", "--data_path=data", "--model=BPR", "--methods=Retrain", "--dry_run=True"]
    assert main([*common, *arguments]) == 0
    assert "would forget" in capsys.readouterr().out


def test_a_row_that_ends_early_is_found_behind_a_million_characters(tmp_path):
    path = tmp_path / "long.inter"
    path.write_text("user_id:token\titem_id:token\n" + "u1\ti1\n" * 200_000 + "u2\n")
    assert check_header(str(path), "\t", "utf-8") == {"user_id": "token", "item_id": "token"}
    with pytest.raises(ConfigError, match="line 200002 has 1 fields"):
        check_rows(str(path), "\t", "utf-8", 2)
