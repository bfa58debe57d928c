import pytest

from recbole_unlearn.lineage.commit import Withdrawn
from recbole_unlearn.lineage.ledger import Ledger


def withdrawn(ledger, *users, pairs=()):
    """Return a withdrawal as a commit records it."""
    entry = {"time": "now", "model": "model.pth", "method": "SCIF", "scope": "all", "rows": 3}
    entry |= {"users": len(users), "items": 0, "pairs": len(pairs)}
    hashes = {"user": [ledger.key.user(user) for user in users]}
    hashes["pair"] = [ledger.key.user(user) + ledger.key.item(item) for user, item in pairs]
    return Withdrawn(entry, hashes)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger", "tiny")
    yield ledger
    ledger.close()
