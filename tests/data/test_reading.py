"""Atomic files of every kind are read as stock RecBole reads them, or refused."""

import csv
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource

from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.reading import CheckedDataset
from recbole_unlearn.exceptions import ConfigError, InputError

HEAD = "user_id:token\titem_id:token\trating:float\n"
ROWS = HEAD + "u1\ti1\t3\nu2\ti2\t4\nu3\ti1\t5\n"
# What stock reads, or refuses itself.
FILES = {
    "plain": ROWS,
    "R's row names": HEAD + "1\tu1\ti1\t3\n2\tu2\ti2\t4\n",
    "R's row names of one column": "user_id:token\n1\tu1\n2\tu2\n",
    "R's row names, then a short row": HEAD + "1\tu1\ti1\t3\nu2\ti2\t4\n",
    "R's row names in quotes": HEAD + '"1"\t"u1"\t"i1"\t3\n"2"\t"u2"\t"i2"\t4\n',
    "R's header in quotes": '"user_id:token"\t"item_id:token"\t"rating:float"\n"1"\t"u1"\t"i1"\t3\n',
    "separator at the end of a later row": HEAD + "u1\ti1\t3\nu2\ti2\t4\t\n",
    "separators at every end": (HEAD + "u1\ti1\t3\nu2\ti2\t4\n").replace("\n", "\t\n"),
    "long in the middle": HEAD + "u1\ti1\t3\nu2\ti2\t4\t5\nu3\ti3\t1\n",
    "very long in the middle": HEAD + "u1\ti1\t3\nu2\ti2\t4\t5\t6\t7\t8\nu3\ti3\t1\n",
    "long at the end": HEAD + "u1\ti1\t3\n" * 3 + "u2\ti2\t4\t5\n",
    "short in the middle": HEAD + "u1\ti1\t3\nu2\ti2\nu4\nu3\ti3\t1\n",
    "short at first": HEAD + "u1\ti1\nu2\ti2\t3\n",
    "quoted": HEAD + '"u1"\ti1\t3\n"u\t2"\ti2\t"4"\n',
    "quotes inside": HEAD + 'u"1\ti1\t3\nu2"\ti2"\t4\n',
    "quotes doubled": HEAD + '"u""1"\ti1\t3\n',
    "text after a quote": HEAD + '"u1"x\ti1\t3\nu2\ti2\t4\n',
    "a quote that stays open": HEAD + 'u1\ti1\t3\nu2\t"i2\t4\nu3\ti1\t3\n',
    "a row over two lines": HEAD + '"u\n1"\ti1\t3\nu2\ti2\t4\n',
    "single quotes": HEAD + "'u1'\ti1\t3\n'u2\ti2\t4\n",
    "CRLF": ROWS.replace("\n", "\r\n"),
    "CRLF here and there": ROWS.replace("3\n", "3\r\n"),
    "CR": ROWS.replace("\n", "\r"),
    "CR before a blank": HEAD[:-1] + "\r u1\ti1\t3\nu2\ti2\t4\n",
    "CR inside": HEAD + "u1\ti\r1\t3\nu2\ti2\t4\n",
    "blank lines": HEAD + "\nu1\ti1\t3\n\n  \nu2\ti2\t4\n\n",
    "lines of separators": HEAD + "\t\t\nu1\ti1\t3\n\t\nu2\ti2\t4\n",
    "a line of an unusual blank": HEAD + "\u2028\nu1\ti1\t3\n",
    "BOM": "\ufeff" + ROWS,
    "comments": HEAD + "#c\nu1\ti1\t3\n# u2\ti2\t4\n",
    "missing values": HEAD + "NA\ti1\t3\nnull\tnan\tNaN\nNone\tN/A\tNA\nn/a\t-nan\tinf\n<NA>\t#N/A\t1\n",
    "not quite missing": HEAD + "NAN\tNan\t1\nna\tNULL\t1\n NA\tnone\t1\n",
    "missing in quotes": HEAD + '"NA"\ti1\t3\n""\tnan\t"NaN"\n',
    "numbers as tokens": HEAD + "007\t1e3\t1e3\n1.0\t0x1F\t 3\n1_000\t+5\t3 \n",
    "numbers": HEAD + "1\t1\t0.1\n2\t2\t0.25891675029296335\n3\t3\t880606923\n",
    "whole numbers that no float holds": HEAD + "1\t1\t1\n2\t2\t378415734956771153\n3\t3\t9007199254740993\n",
    "large numbers": HEAD + "1\t1\t0.1\n3\t3\t1.7976931348623157e308\n4\t4\t40617111179456794\n",
    "a number beyond 64 bits": HEAD + "1\t1\t0.25891675029296335\n2\t2\t1910350537486291913622313\n",
    "more numbers": HEAD + "1\t1\t-0.0\n2\t2\t.5\n3\t3\t5.\n4\t4\t-Infinity\n5\t5\t+5\n6\t6\t1e-320\n",
    "a number in Python only": HEAD + "1\t1\t1_000\n",
    "a number out of range": HEAD + "1\t1\t1e400\n",
    "a number in Arabic": HEAD + "1\t1\t\u0663\n",
    "no number": HEAD + "1\t1\tx\n",
    "true": HEAD + "1\t1\tTrue\n",
    "outer blanks": HEAD + " u1\ti1 \t 3\n  u2  \t i2\t4 \n\u00a0u3\ti3\u00a0\t5\n",
    "zero bytes": HEAD + "u\x001\ti1\t3\nu2\ti2\t4\n",
    "control characters": HEAD + "u\x0b1\ti\x0c1\t3\nu\x1c2\ti\x1a2\t4\n",
    "no end of line": ROWS[:-1],
    "no rows": HEAD,
    "no header": ROWS[len(HEAD) :],
    "a name twice": "user_id:token\titem_id:token\titem_id:token\nu1\ti1\ti2\n",
    "a blank line first": "\n" + ROWS,
    "blanks in the header": " user_id:token\titem_id:token \trating:float\nu1\ti1\t3\n",
    "lists": "user_id:token\titem_id:token_seq\trating:float_seq\nu1\ta b  c\t1 2\nu2\t\t\nu3\tNA\t3\n",
    "latin-1": ROWS.replace("u1", "\u00fc").encode("latin-1"),
}
# What stock shifts into other columns without a word.
SHIFTED = {
    "separators at every row's end": (HEAD + "u1\ti1\t3\t\nu2\ti2\t4\t\n", "4 and 4"),
    "a separator at the first row's end": (HEAD + "u1\ti1\t3\t\nu2\ti2\t4\n", "4 and 3"),
    "two names too few": (HEAD + "u1\ti1\t3\t9\t9\nu2\ti2\t4\t5\t9\n", "5 and 5"),
    "names in a row of their own": (HEAD + "u1\nu2\ti2\t3\t4\nu3\ti3\t5\t6\n", "1 and 4"),
    "one column with a separator": ("user_id:token\nu1\t\nu2\t\n", "2 and 2"),
}
COLUMNS = [None, ["user_id", "item_id"], ["item_id", "rating"]]
SEPARATORS = ["\t", ",", ";", "|", "::", ", "]


class Config(dict):
    def __missing__(self, key):
        return None


def load(kind, path, text, separator="\t", columns=None, encoding="utf-8"):
    """Return the frame, or the error, of a data set's own ``_load_feat``."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding, "surrogatepass"))
    dataset = kind.__new__(kind)
    dataset.logger = logging.getLogger("recbole")
    for name in ("field2type", "field2source", "field2seqlen", "field2bucketnum"):
        setattr(dataset, name, {})
    wanted = {"inter": columns} if columns else None
    regex = separator.replace("|", r"\|") if len(separator) > 1 else separator
    dataset.config = Config(field_separator=regex, seq_separator=" ", encoding=encoding, load_col=wanted, data_path="")
    try:
        return dataset._load_feat(str(path), FeatureSource.INTERACTION)
    except Exception as error:
        return error


def assert_same(path, text, **options):
    ours, stock = (load(kind, path, text, **options) for kind in (CheckedDataset, Dataset))
    if isinstance(stock, Exception):
        assert not isinstance(stock, AttributeError), "this test lacks something that RecBole needs"
        assert isinstance(ours, type(stock)), (ours, stock)
    elif stock is None:
        assert ours is None
    else:
        assert not isinstance(ours, Exception), ours
        pd.testing.assert_frame_equal(ours, stock, check_exact=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "odd.inter"


def separated(text, separator):
    old, new = ("\t", separator) if isinstance(text, str) else (b"\t", separator.encode())
    return text.replace(old, new)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_stock_reads_them(path, name, separator):
    for columns in COLUMNS:
        assert_same(path, separated(FILES[name], separator), separator=separator, columns=columns)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1", "cp037"])
def test_encodings_are_read_as_stock_reads_them(path, encoding):
    for text in (ROWS, FILES["R's row names"], FILES["quotes doubled"], ROWS.replace("u1", "\u00e9")):
        assert_same(path, text, encoding=encoding)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("name", SHIFTED)
def test_rows_that_stock_would_shift_are_refused(path, name, separator):
    text, fields = SHIFTED[name]
    names = len(text.split("\n")[0].split("\t"))
    if separator == ", " and name != "two names too few" and "own" not in name:
        return  # stock strips a line of its outer blanks first
    for columns in COLUMNS[:2]:
        error = load(CheckedDataset, path, separated(text, separator), separator=separator, columns=columns)
        assert isinstance(error, ConfigError)
        assert f"{str(path)!r}: line 1 has {names} names and the first rows have {fields} fields" in str(error)
        assert "name every column in line 1" in str(error)


def test_row_names_that_repeat_are_users(path):
    text = "user_id:token\titem_id:token\nu1\ti1\t3\nu1\ti2\t4\n"
    assert load(Dataset, path, text)["user_id"].tolist() == ["i1", "i2"]
    error = load(CheckedDataset, path, text)
    assert isinstance(error, ConfigError)
    assert "name every column in line 1" in str(error)


def test_users_of_r_are_users(path):
    frame = load(CheckedDataset, path, FILES["R's row names"])
    assert frame["user_id"].tolist() == ["u1", "u2"]
    assert frame["item_id"].tolist() == ["i1", "i2"]
    assert frame["rating"].tolist() == [3.0, 4.0]


def test_usual_files_are_read_in_c(path, monkeypatch):
    engines = []
    read_csv = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: (engines.append(k["engine"]), read_csv(*a, **k))[1])
    for name in (
        "plain",
        "CRLF",
        "short in the middle",
        "not quite missing",
        "numbers",
        "quoted",
        "CR",
        "a number out of range",
    ):
        load(CheckedDataset, path, FILES[name])
    assert engines == ["c"] * 5 + ["python"] * 2 + ["c", "python"]


cells = st.sampled_from(["u1", "007", "1e3", "NA", "nan", "", " i2", "\u00fc", "#c", "a b", "\u00a0x", "1_0", "True"])
numbers = st.sampled_from(["3", "4.5", "", "NA", " 2", "7 ", "0.1", "1e400", "880606923", "True"])
odd_cells = cells | st.sampled_from(['"q"', '"', 'a"b', "\0", "\u2028", "\x1c"])
ends = st.sampled_from(["\n"] * 5 + ["\r\n", "\r", "\n\n", "\n \n"])
lines = st.tuples(odd_cells, cells, numbers, st.lists(odd_cells, max_size=2), st.integers(0, 5), ends)


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, max_size=5), st.sampled_from("\t, ;"), st.sampled_from(COLUMNS), ends)
def test_files_of_any_kind_are_read_as_stock_reads_them_or_refused(tmp_path_factory, lines, separator, columns, end):
    path = tmp_path_factory.mktemp("odd") / "odd.inter"
    text = separated(HEAD[:-1], separator) + end
    for user, item, rating, more, width, end in lines:
        text += separator.join([user, item, rating, *more][: width or None]) + end
    ours = load(CheckedDataset, path, text, separator, columns)
    if isinstance(ours, ConfigError) and "are no numbers" in str(ours):
        assert isinstance(load(Dataset, path, text, separator, columns), ValueError)
    elif isinstance(ours, ConfigError):
        rows = [len(row) for row in csv.reader(path.open(newline=""), delimiter=separator)]
        assert max(rows) > 3
    else:
        assert_same(path, text, separator=separator, columns=columns)


def test_a_data_set_from_r_is_stocks(make_config, tmp_path, data_path):
    """RecBole drops rows by the names of the rows while it filters."""
    with open(f"{data_path}/tiny/tiny.inter") as file:
        head, *rows = file.read().splitlines()
    folder = tmp_path / "tiny"
    folder.mkdir()
    named = [head, *(f"{number}\t{row}" for number, row in enumerate(rows, start=1))]
    (folder / "tiny.inter").write_text("\n".join(named) + "\n")
    keys = {"user_inter_num_interval": "[11,inf)", "val_interval": {"rating": "[2,5]"}}
    ours = create_dataset(make_config(data_path=str(tmp_path), **keys))
    stock = Dataset(make_config(**keys))
    assert ours.field2token_id == stock.field2token_id
    assert np.array_equal(ours.inter_feat["user_id"], stock.inter_feat["user_id"])
    assert np.array_equal(ours.inter_feat["item_id"], stock.inter_feat["item_id"])


def test_a_filter_of_ones_own_data_set_is_run(make_config):
    """RecBole's is left out where it has nothing to do; it is also where a user's data set may drop rows."""

    class Own(Dataset):
        def _filter_inter_by_user_or_item(self):
            super()._filter_inter_by_user_or_item()
            self.inter_feat = self.inter_feat[self.inter_feat["rating"] >= 3]

    class Both(WithdrawalDataset, Own):
        pass

    whole, own, both = (make(make_config()) for make in (Dataset, Own, Both))
    assert len(both) == len(own) < len(whole)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "ann-1f7a93@shop.de\ti1\tbob-5c20e8\n", "is of type float, and some of its fields are no numbers"),
        ("ann-1f7a93@shop.de\ti1\t3\n", "line 1 names no types"),
        ("mail:ann-1f7a93@shop.de\ti1:x\t3:y\n", "column 1 of the 3 in line 1 has an unknown type or none"),
        ((HEAD + "\u00fc-1f7a93\ti1\t3\n").encode("latin-1"), "no utf-8 at byte 41; set `encoding`"),
        (HEAD + "ann-1f7a93\ti1\t3\t\n", "line 1 has 3 names and the first rows have 4 and 0 fields"),
        (HEAD + '"ann-1f7a93"x\ti1\t3\n', "ParserError: text follows a closing quote;"),
    ],
)
def test_no_error_about_a_data_set_holds_a_row(make_config, tmp_path, text, told):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.inter").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        create_dataset(make_config(data_path=str(tmp_path), load_col=None))
    assert told in str(error.value)
    assert "1f7a93" not in str(error.value)
    assert "5c20e8" not in str(error.value)
