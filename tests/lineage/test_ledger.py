import json
import sqlite3
import stat

import pytest

from recbole_unlearn.exceptions import LedgerError
from recbole_unlearn.lineage.chain import GENESIS
from recbole_unlearn.lineage.commit import commit
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import owe, settle
from recbole_unlearn.lineage.place import safe_name
from recbole_unlearn.lineage.receipt import read_receipts, receipt, write_receipts
from recbole_unlearn.lineage.schema import _prepare
from tests.lineage.conftest import withdrawn


def write(file, anchor):
    file.write(b"weights")


@pytest.fixture
def three(ledger, tmp_path):
    """Return a ledger with three rows and their receipts."""
    for user in ("u1", "u2", "u3"):
        rows = commit(ledger, tmp_path / "model.pth", [withdrawn(ledger, user, pairs=[(user, "i1")])], write).rows
        write_receipts(ledger, rows)
    return ledger


def anchors(ledger):
    return {path: content["ledger"] for path, content in read_receipts(ledger.path)[0].items()}


def tamper(ledger, *statements):
    db = sqlite3.connect(ledger.path)
    db.executescript("DROP TRIGGER no_change; DROP TRIGGER no_removal;" + ";".join(statements))
    db.close()


def test_the_chain_holds(three):
    rows = three.rows()
    assert [row.seq for row in rows] == [1, 2, 3]
    assert rows[0].previous == GENESIS
    assert rows[2].previous == rows[1].hash
    assert three.anchor == {"count": 3, "head": rows[2].hash}
    assert three.verify(anchors(three)) == []


def test_the_ledger_only_grows(three):
    for statement in ("UPDATE ledger SET entry = '{}'", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            three.db.execute(statement)


TAMPERING = {
    "changed": (["UPDATE ledger SET entry = replace(entry, 'SCIF', 'None') WHERE seq = 2"], "row 2 was changed"),
    "missing": (["DELETE FROM ledger WHERE seq = 2"], "row 2 is missing"),
    "reordered": (
        [
            "UPDATE ledger SET seq = 9 WHERE seq = 1",
            "UPDATE ledger SET seq = 1 WHERE seq = 2",
            "UPDATE ledger SET seq = 2 WHERE seq = 9",
        ],
        "row 1 was changed",
    ),
    "its end cut": (["DELETE FROM ledger WHERE seq = 3", "DELETE FROM tombstones WHERE seq = 3"], "its end is missing"),
    "a tombstone less": (["DELETE FROM tombstones WHERE seq = 2 AND kind = 'user'"], "the tombstones of row 2"),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found(three, how):
    statements, message = TAMPERING[how]
    tamper(three, *statements)
    assert message in " ".join(three.verify(anchors(three)))


def test_a_chain_made_again_does_not_fit_the_receipts(three):
    rows = three.rows()
    entry = {**rows[2].entry, "rows": 4}
    new = type(rows[2]).after(3, rows[1].hash, entry)
    tamper(three, f"UPDATE ledger SET entry = '{json.dumps(entry)}', hash = '{new.hash}' WHERE seq = 3")
    assert three.verify() == []
    assert "another row 3" in three.verify(anchors(three))[0]


def test_no_token_is_in_any_file(ledger, tmp_path):
    """Tokens so long that they are in sealed bytes by no chance."""
    user, item = "anna@example.org", "item-4711"
    write_receipts(
        ledger, commit(ledger, tmp_path / "m.pth", [withdrawn(ledger, user, pairs=[(user, item)])], write).rows
    )
    ledger.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [path for path in ledger.path.parent.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert not any(token.encode() in path.read_bytes() for token in (user, item)), path


def test_tombstones_are_keyed(three):
    stones = three.tombstones()
    assert stones["user"][three.key.user("u2")] == 2
    assert stones["pair"] == {three.key.pair(user, "i1"): seq for seq, user in enumerate(("u1", "u2", "u3"), 1)}
    assert LedgerKey(bytes(32)).user("u2") not in stones["user"]
    assert set(three.tombstones(after=2)["user"]) == {three.key.user("u3")}


def test_key_and_receipts_are_private(three):
    folder = three.path.parent
    for path in (folder / "ledger.key", three.path, *(folder / "receipts").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(list((folder / "receipts").iterdir())) == 6


def test_receipts_prove_and_name_nobody(three):
    content = json.loads((three.path.parent / "receipts" / "tiny-000002.json").read_text())
    row = three.rows()[1]
    assert content == receipt(three, row)
    assert content["ledger"] == {"dataset": "tiny", "count": 2, "head": row.hash, "key": three.key.fingerprint}
    assert "1 users, 0 items and 1 single" in (three.path.parent / "receipts" / "tiny-000002.md").read_text()


def test_the_key_must_be_the_ledgers_own(three):
    key = three.path.parent / "ledger.key"
    other = LedgerKey.load(three.path.parent / "other.key", create=True)
    assert other.fingerprint != three.key.fingerprint
    with pytest.raises(LedgerError, match="another key"):
        Ledger.open(three.path.parent, "tiny", three.path.parent / "other.key")
    key.chmod(0o644)
    with pytest.raises(LedgerError, match="chmod 600"):
        Ledger.open(three.path.parent, "tiny")
    key.unlink()
    with pytest.raises(LedgerError, match="is missing"):
        Ledger.open(three.path.parent, "tiny")
    assert not key.exists()


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "ledger").mkdir()
    LedgerKey.load(tmp_path / "ledger" / "ledger.key", create=True)
    (tmp_path / "ledger" / "tiny.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(LedgerError, match=r"tiny\.sqlite' cannot be read"):
        Ledger.open(tmp_path / "ledger", "tiny")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "/etc/passwd", ".hidden", "a\0b"])
def test_names_cannot_escape(name):
    with pytest.raises(LedgerError, match="cannot be part of a file name"):
        safe_name(name)


def test_a_refused_transaction_changes_nothing(three):
    def refused():
        with three.transaction():
            three.remember("commit", {"stage": "writing"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        refused()
    assert three.state("commit") is None


def test_what_is_settled_leaves_no_byte_in_the_file(three):
    """SQLite marks a deleted row as free and leaves its bytes, unless it is told to overwrite them."""
    hashes = {"user": [three.key.user(f"owed{n}") for n in range(300)]}
    for change in (owe, settle):
        with three.transaction():
            change(three, "model.pth", [hashes] if change is owe else hashes)
        three.tidy()
        content = three.path.read_bytes()
        assert [one in content for one in (b"request ", hashes["user"][7].hex().encode())] == [change is owe] * 2
    with sqlite3.connect(three.path) as db:  # some builds of SQLite overwrite without being told
        db.execute("PRAGMA secure_delete=OFF")
        _prepare(db, three.path, three.key)
        assert db.execute("PRAGMA secure_delete").fetchone() == (1,)
    db.close()


def test_the_format_on_disk_has_its_number(three):
    """Whoever changes it must bring the files of users there: another number alone says that all of them are old."""
    assert three.db.execute("PRAGMA user_version").fetchone() == (1,)
