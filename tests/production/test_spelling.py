"""Tokens in other spellings and in other columns: nobody else is cut out, and nobody who left is overlooked."""

import pytest

from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.trace import CHECK, MUST_FIX
from recbole_unlearn.production.wanted import Wanted
from tests.production.planted import clear, hashed
from tests.production.purged import rewritten

HEADER = "user_id:token\titem_id:token\trating:float\n"


def found(name, text, wanted):
    return [trace for trace in inspect(name, text.encode(), None, wanted) if trace.group in (MUST_FIX, CHECK)]


@pytest.mark.parametrize("how", [clear, hashed])
def test_in_the_data_sets_own_file_another_spelling_is_another_user(how):
    """Short hexadecimal ids: 196 left, 1.96e2 and 196.0 are others."""
    others = "1.96e2\t242\t3\n196.0\t242\t3\n"
    left, gone = rewritten("shop.inter", (HEADER + others + "196\t242\t3\n").encode(), wanted=how())
    assert (left.decode(), gone) == (HEADER + others, 1)
    (trace,) = found("shop.inter", HEADER + others, how())
    assert (trace.group, "2 rows of withdrawn users or items in another spelling" in trace.what) == (CHECK, True)


def test_elsewhere_a_whole_number_may_be_written_as_a_float():
    text = "user_id,n\n196.0,1\n22.0,1\n"
    assert [trace.group for trace in found("shop/float.csv", text, clear())] == [MUST_FIX]
    assert Wanted.from_spec({"users": ["7"]}).user("7.0")
    assert not Wanted.from_spec({"users": ["7"]}).exactly.user("7.0")


@pytest.mark.parametrize("how", [clear, hashed])
def test_another_column_of_an_atomic_file_that_names_who_left_is_listed(how):
    text = "user_id:token\tage:float\tfriends:token_seq\n22\t30\t7 anna@example.org\n23\t30\t7\n"
    (trace,) = found("shop.user", text, how())
    assert (trace.group, trace.what) == (CHECK, "1 line that names withdrawn tokens")


@pytest.mark.parametrize("name", ["shop.user", "users.csv"])
def test_a_row_of_who_left_hides_no_row_of_others_that_names_them(name):
    header = "user_id:token,friend:token\n" if name == "shop.user" else "user_id,friend\n"
    text = header + "anna@example.org,22\n22,anna@example.org\nanna@example.org,anna@example.org\n"
    told = {trace.group: trace.what for trace in found(name, text, clear())}
    assert told == {MUST_FIX: "2 rows of withdrawn users", CHECK: "1 line that names withdrawn tokens"}


def test_a_quotation_mark_alone_ties_no_row_to_others():
    text = 'user_id,item_id,note\nanna@example.org,5,12" vinyl\n' + "22,5,thanks anna@example.org\n" * 3
    told = {trace.group: trace.what for trace in found("r.csv", text, clear())}
    assert told == {MUST_FIX: "1 row of withdrawn users", CHECK: "3 lines that name withdrawn tokens"}


def test_a_row_in_another_spelling_counts_once_and_hides_no_name():
    text = "user_id:token\titem_list:token_seq\tnote:token_seq\n1.96e2\t1 2 3\tthanks anna@example.org\n22\t1\tx\n"
    told = [trace.what for trace in found("shop.inter", text, clear())]
    assert told == ["1 row of withdrawn users or items in another spelling", "1 line that names withdrawn tokens"]


def test_a_copy_under_another_name_is_as_exact():
    rows = HEADER + "196\t242\t3\n1.96e2\t242\t4\n22\t1\t2\n"
    left, gone = rewritten("shop/shop_train.inter", rows.encode(), ours=True)
    assert (left.decode(), gone) == (HEADER + "1.96e2\t242\t4\n22\t1\t2\n", 1)


def test_columns_of_numbers_are_not_read_for_names():
    """anna's row is a row of hers; the ratings of others are no names."""
    text = HEADER + "anna@example.org\t1\t3\n22\t1\t196\n"
    assert [trace.group for trace in found("shop.inter", text, clear())] == [MUST_FIX]
