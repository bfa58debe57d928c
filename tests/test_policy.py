"""What a policy may say, and what a ledger's rows say of what is due: no model, no data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recbole_unlearn import Config
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.chain import Row
from recbole_unlearn.lineage.due import Duty, Here, duties, served_by, what_follows
from recbole_unlearn.settings.policy import Policy, read_policy

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours):
    return (START + timedelta(hours=hours)).isoformat(timespec="seconds")


def chain(*entries):
    """Return the rows of a ledger; a row is done by time at its own number of hours."""
    return [
        Row(seq, {"time": at(seq), "users": 1, "method": "m", **entry}, "", "") for seq, entry in enumerate(entries, 1)
    ]


def due(hours, what="relearn"):
    return {"due": {what: {"by": at(hours)}}}


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        (None, None),
        ({}, Policy()),
        ({"relearn_after": "now"}, Policy(timedelta(0))),
        ({"relearn_after": "24h"}, Policy(timedelta(hours=24))),
        ({"relearn_after": "7 d"}, Policy(timedelta(days=7))),
        ({"relearn_after": "1 user"}, Policy(None, 1)),
        (
            {"relearn_after": "100 users", "retrain_after": "90d", "rehearsal": 0},
            Policy(None, 100, timedelta(days=90), 0),
        ),
    ],
)
def test_a_policy_is_read(said, policy):
    assert read_policy(said) == policy


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("24h", "must hold keys of its own: relearn_after"),
        ({"relearn_after": "24"}, "allowed: now, hours such as 24h or days such as 90d, or a number of users"),
        ({"relearn_after": 24}, "relearn_after is 24"),
        ({"relearn_after": "0h"}, "relearn_after"),
        ({"relearn_after": "-1h"}, "relearn_after"),
        ({"relearn_after": "0 users"}, "relearn_after"),
        ({"relearn_after": "1.5h"}, "relearn_after"),
        ({"relearn_after": True}, "relearn_after"),
        ({"relearn_after": "999999d"}, "relearn_after"),
        ({"retrain_after": "now"}, "retrain_after is 'now'; allowed: hours"),
        ({"retrain_after": "100 users"}, "retrain_after"),
        ({"rehearsal": -1}, "rehearsal is -1"),
        ({"rehearsal": True}, "rehearsal"),
        ({"relearn": "24h"}, "unknown key 'relearn'; did you mean 'relearn_after'"),
    ],
)
def test_what_says_no_policy_is_refused_with_what_is_allowed(said, message):
    with pytest.raises(ConfigError, match=message):
        read_policy(said)


def test_a_config_checks_its_policy():
    text = "{'relearn_after': '24h'}"
    assert Config("NeuMF", "ml-100k", config_dict={"policy": text}, argv=())["policy"] == {"relearn_after": "24h"}
    with pytest.raises(ConfigError, match="relearn_after is 'soon'"):
        Config("NeuMF", "ml-100k", config_dict={"policy": {"relearn_after": "soon"}}, argv=())


def test_rows_of_earlier_versions_leave_nothing_due():
    assert duties(chain({"model": "/a"}, {"readmitted": 1}, {"model": "/a"})) == []


def test_the_earliest_time_counts_and_what_was_served_waits_no_more():
    rows = chain(
        {"model": "/a", **due(30)},
        {"model": "/a", **due(26)},
        {"model": "/b", **due(10)},
        {"model": "/a", "users": 4, **due(40)},
    )
    of_a, of_b = duties(rows)
    assert of_a == Duty(Path("/a"), "relearn", (1, 2, 4), 6, at(26), None)
    assert (of_b.model, of_b.rows) == (Path("/b"), (3,))
    assert not of_a.is_due(START + timedelta(hours=25))
    assert of_a.is_due(START + timedelta(hours=26))
    assert of_a.is_due(START + timedelta(hours=3), within=timedelta(hours=23))
    done = {"model": "/a", "carries_out": {"relearn": [1, 2]}}
    assert [duty.rows for duty in duties([*rows, Row(5, done, "", "")])] == [(4,), (3,)]


def test_relearning_is_no_retraining():
    both = {"due": {**due(1)["due"], **due(2, "retrain")["due"]}}
    rows = chain({"model": "/a", **both}, {"model": "/a", "carries_out": {"relearn": [1]}})
    assert [(duty.what, duty.rows) for duty in duties(rows)] == [("retrain", (1,))]
    assert what_follows(rows[0], rows[1:]) == {
        "relearn": {"by": at(1), "done": at(2), "row": 2, "method": "m"},
        "retrain": {"by": at(2), "done": None},
    }
    assert served_by(rows[1].entry) == [1]


def test_a_number_of_users_is_due_when_they_have_left():
    rows = chain({"model": "/a", "users": 2, "due": {"relearn": {"users": 4}}})
    rows += [Row(2, {"model": "/a", "users": 0, "due": {"relearn": {"users": 3}}}, "", "")]
    (duty,) = duties(rows)
    assert (duty.users, duty.most, duty.by) == (3, 3, None)  # what names no user counts as one
    assert duty.is_due(START)
    assert not duties(rows[:1])[0].is_due(START + timedelta(days=999))


def test_a_model_is_followed_by_its_weights_only_where_its_file_is_gone(tmp_path):
    here = tmp_path / "here"
    here.write_text("")
    rows = chain(
        {"model": "/gone", "model_after": "w1", **due(1)},
        {"model": str(here), "model_before": "w1", "model_after": "w2", **due(2)},
    )
    assert [(duty.model, duty.rows) for duty in duties(rows)] == [(here, (1, 2))]
    assert [duty.model for duty in duties(rows[:1])] == [Path("/gone")]
    assert [duty.model for duty in duties(rows[:1], Here(here, "w1"))] == [here]
    assert [duty.model for duty in duties(rows[:1], Here(here, "w2"))] == [Path("/gone")]
    copied = chain(
        {"model": str(here), "model_after": "w1", **due(1)},
        {"model": "/copy", "model_before": "w1", "model_after": "w2", **due(2)},
    )
    assert [duty.model for duty in duties(copied)] == [Path("/copy"), here]
