"""Whoever is planted in a file is found or the file is listed; nobody is found where nobody is."""

import pytest

from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.trace import MUST_FIX, NOT_INSPECTED, Trace
from tests.production.decoys import DECOYS, repository
from tests.production.planted import HEADERLESS_OURS, MUST, PLANTED, as_bytes, clear, hashed

LISTED_TOO = {"cut.log", "half.jsonl", "latin.csv", "split.npz", "stray.csv", "mixed.zip"}


def look(name, data, wanted):
    data = as_bytes(data)
    return inspect(name, data, len(data), wanted)


def test_there_are_enough_of_them():
    assert len(PLANTED) + len(HEADERLESS_OURS) >= 120
    assert len(MUST) >= 100


@pytest.mark.parametrize("how", [clear, hashed])
@pytest.mark.parametrize("name", PLANTED)
def test_nothing_planted_is_silent(name, how):
    data, group = PLANTED[name]
    found = look(name, data, how())
    assert group in {trace.group for trace in found}, [trace.line() for trace in found]
    if group != MUST_FIX:
        assert MUST_FIX not in {trace.group for trace in found}
    elif name not in LISTED_TOO:
        assert NOT_INSPECTED not in {trace.group for trace in found}, [trace.line() for trace in found]
    for trace in found:
        told = f"{trace.kind} {trace.what} {trace.remedy}"
        assert not any(token in told for token in ("196", "anna", "A2CX", "m9000"))
        assert Trace.from_plain(trace.plain()) == trace


@pytest.mark.parametrize("name", HEADERLESS_OURS)
def test_rows_that_left_prove_a_copy_whatever_its_name(name):
    found = look(name, HEADERLESS_OURS[name], hashed(dataset=None))
    assert [trace.group for trace in found] == [MUST_FIX], [trace.line() for trace in found]


@pytest.mark.parametrize("name", DECOYS)
def test_nobody_is_found_where_nobody_is(name):
    found = look(name, DECOYS[name], hashed())
    assert MUST_FIX not in {trace.group for trace in found}, [trace.line() for trace in found]
    assert len(DECOYS) >= 40


def test_this_repository_holds_nobody():
    wanted = hashed(n_users=944)
    found = [trace for path in repository() for trace in inspect(str(path), path.read_bytes(), None, wanted)]
    assert [trace.line() for trace in found if trace.group == MUST_FIX] == []
    assert not [trace.line() for trace in found if "cannot be read (" in trace.what]
