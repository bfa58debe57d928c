"""A data set with a ledger in which those who are planted withdrew, and what a purge of a folder tells."""

import io
import json

from recbole_unlearn.cli import main
from recbole_unlearn.lineage.chain import digest_of
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.production.purging.cut import Cut
from recbole_unlearn.production.purging.rewrite import rewrite
from tests.production.planted import ITEMS, PAIRS, ROWS, USERS, as_bytes, hashed


def withdraw(folder, dataset="shop"):
    """Make a ledger in which those who are planted withdrew."""
    ledger = Ledger.open(folder / dataset / "ledger", dataset)
    key = ledger.key
    hashes = {"user": [key.user(user) for user in USERS], "item": [key.item(item) for item in ITEMS]}
    hashes |= {"pair": [key.pair(*pair) for pair in PAIRS], "row": [key.pair(*row) for row in ROWS]}
    entry = {"time": "now", "model": "model.pth", "method": "SCIF", "scope": "all", "rows": 3}
    entry |= {"users": len(USERS), "items": len(ITEMS), "pairs": len(PAIRS)}
    entry["tombstones"] = digest_of(one for many in hashes.values() for one in many)
    (row,) = ledger.chain([entry])
    with ledger.transaction():
        ledger.append([row])
        ledger.add_tombstones(row.seq, hashes)
    ledger.tidy()
    ledger.close()


def purge(folder, *arguments, data, yes=True):
    """Purge a folder; return the exit code and the report."""
    report = folder.parent / "purge.json"
    how = "--yes=True" if yes else "--dry_run=True"
    code = main([f"--purge={folder}", "--dataset=shop", f"--data_path={data}", how, f"--report={report}", *arguments])
    return code, json.loads(report.read_text())


def write(folder, files):
    """Write files, and return what stands on disk."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(content))
    return on_disk(folder)


def on_disk(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def rewritten(name, data, **how):
    """Return what is left of a file, and how many rows went."""
    wanted = how.pop("wanted", None) or hashed()
    out = io.BytesIO()
    rows = rewrite(name, io.BytesIO(as_bytes(data)), out, Cut(wanted, **how))
    return out.getvalue(), rows.before - rows.after
