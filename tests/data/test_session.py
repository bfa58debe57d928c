"""One opening of the ledger for a whole withdrawal, and when another one is needed all the same."""

import os
import shutil

import pytest

from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.lineage.store import SeenFile


@pytest.fixture
def config(tmp_path):
    data = tmp_path / "data" / "tiny"
    data.mkdir(parents=True)
    return {"ledger_dir": None, "data_path": str(data), "dataset": "tiny", "ledger_key": None}


def test_there_is_none_until_it_is_opened_and_then_it_is_the_same(config):
    with LedgerSession() as session:
        assert session.find(config) is None
        ledger = session.open(config)
        assert session.find(config) is session.open(config) is ledger
    with LedgerSession() as session:
        assert session.find(config).path == ledger.path


def test_another_data_set_has_another_ledger(config, tmp_path):
    other = tmp_path / "data" / "other"
    other.mkdir()
    with LedgerSession() as session:
        first = session.open(config).path
        second = session.open({**config, "data_path": str(other), "dataset": "other"}).path
        assert (first.stem, second.stem) == ("tiny", "other")
        assert session.find(config).path == first


def test_a_file_that_takes_the_place_of_the_ledger_is_opened(config):
    with LedgerSession() as session:
        ledger = session.open(config)
        with ledger.transaction():
            ledger.remember("mark", {"is": "old"})
        ledger.tidy()
        shutil.copy(ledger.path, f"{ledger.path}.copy")
        with ledger.transaction():
            ledger.remember("mark", {"is": "new"})
        ledger.tidy()
        os.replace(f"{ledger.path}.copy", ledger.path)
        assert session.find(config).state("mark") == {"is": "old"}


def test_the_lock_is_taken_once_for_a_block_and_what_it_calls(config, monkeypatch):
    with LedgerSession() as session:
        taken, whole = [], type(session.open(config)).exclusive
        monkeypatch.setattr(type(session.open(config)), "exclusive", lambda self: taken.append(1) or whole(self))
        with session.locked(config) as outer, session.locked(config) as inner:
            assert outer is inner
        assert len(taken) == 1
        with pytest.raises(KeyError), session.locked(config):
            raise KeyError
        with session.locked(config):
            assert len(taken) == 3  # an error let it go


def test_a_seen_file_is_read_again_only_where_its_stamp_differs(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    assert SeenFile.of(path).is_unchanged  # it is not there, now as before
    path.write_bytes(b"one")
    seen = SeenFile.of(path)
    os.utime(path, ns=(1, 1))
    assert seen.is_unchanged  # another time, the same bytes
    path.write_bytes(b"two")
    assert not seen.is_unchanged
    seen = SeenFile.of(path)
    monkeypatch.setattr("recbole_unlearn.lineage.store.file_digest", lambda path: pytest.fail("it was read"))
    assert seen.is_unchanged
    monkeypatch.undo()
    path.unlink()
    assert not seen.is_unchanged
