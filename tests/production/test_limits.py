"""What a hostile, broken or unusual file cannot do: raise, fill memory, hide what stands beside it."""

import ast
import json
import random
import sqlite3
import subprocess
import sys
import types

import pytest

from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.production.formats import columnar, dispatch
from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED
from recbole_unlearn.production.wanted import Wanted
from tests.production.planted import CSV, JSON, PLANTED, REPOSITORY, as_bytes, clear, gz, hashed, tarred, zipped

PRODUCTION = REPOSITORY / "recbole_unlearn" / "production"


def groups(name, data, wanted=None):
    return [(trace.member, trace.group) for trace in inspect(name, as_bytes(data), None, wanted or clear())]


def test_nothing_raises_whatever_is_cut_off_or_changed():
    draw = random.Random(3)
    for name, (data, _) in PLANTED.items():
        data = as_bytes(data)[:20_000]
        for place in {0, 1, 7, len(data) // 3, len(data) - 1, *(draw.randrange(len(data) + 1) for _ in range(3))}:
            assert isinstance(inspect(name, data[:place], None, clear()), list)
            changed = bytearray(data)
            changed[place : place + 2] = bytes(draw.randrange(256) for _ in range(2))
            assert isinstance(inspect(name, bytes(changed), None, clear()), list)


def test_a_bomb_is_listed_and_stops_the_unpacking(monkeypatch):
    monkeypatch.setattr(dispatch, "UNPACKED", 1 << 20)
    rows = b"user_id,n\n" + b"1,2\n" * 1_000_000
    assert groups("bomb.csv.gz", gz(rows)) == [("bomb.csv", NOT_INSPECTED)]
    assert groups("bomb.csv.gz", gz(b"user_id,n\n196,1\n" + rows)) == [
        ("bomb.csv", MUST_FIX),
        ("bomb.csv", NOT_INSPECTED),
    ]
    many = groups("bomb.zip", zipped(a__csv=rows, b__csv=rows, c__csv=rows))
    assert many == [("a.csv", NOT_INSPECTED), ("", NOT_INSPECTED)]
    data = as_bytes(CSV)
    for _ in range(8):
        data = zipped(x__zip=data)
    assert [group for _, group in groups("deep.zip", data)] == [NOT_INSPECTED]


def test_a_broken_member_does_not_hide_the_next_one():
    data = zipped(a__csv=CSV, b__csv=CSV)
    broken = data.replace(b"22,9,3", b"22,9,4", 1)  # its checksum is wrong now
    found = groups("a.zip", broken)
    assert ("a.csv", NOT_INSPECTED) in found
    assert ("b.csv", MUST_FIX) in found
    assert groups("a.tar", tarred("x.gz", b"\x1f\x8b broken")) == [("x.gz/x", NOT_INSPECTED)]


def test_the_encoding_that_is_told_is_used():
    data = "user_id,name\nJos\xe9,1\nAndr\xe9,2\n".encode("latin-1")
    wanted = {"users": ["Jos\xe9"]}
    assert groups("a.csv", data, Wanted.from_spec({**wanted, "encoding": "latin-1"})) == [("", MUST_FIX)]
    assert groups("a.csv", data, Wanted.from_spec({**wanted, "encoding": "no-such"})) == [
        ("", MUST_FIX),
        ("", NOT_INSPECTED),
    ]
    (trace,) = inspect("a.txt", "caf\xe9\n".encode("latin-1"), None, clear())
    assert "--encoding=latin-1" in trace.what


def test_names_of_columns_that_are_told():
    data = "kunde,artikel\n196,3\n"
    assert groups("a.csv", data) == [("", CHECK)]
    assert groups("a.csv", data, clear(user_columns=["kunde"])) == [("", MUST_FIX)]
    assert groups("a.log", "Kunde 196 kauft\n", clear(user_columns=["kunde"])) == [("", MUST_FIX)]


def test_a_ledger_is_clean_and_a_database_that_only_looks_like_one_is_not(tmp_path):
    ledger = Ledger.open(tmp_path, "shop")
    ledger.close()
    path = tmp_path / "shop.sqlite"
    with open(path, "rb") as file:
        assert inspect(str(path), file, path.stat().st_size, clear()) == []
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE users (user_id TEXT)")
    db.execute("INSERT INTO users VALUES ('196')")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with open(path, "rb") as file:
        assert [trace.group for trace in inspect(str(path), file, None, clear())] == [MUST_FIX]
    assert not list(tmp_path.glob("*-journal"))


def test_views_and_functions_of_a_database_are_not_run():
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (x INT)")
    db.execute(
        "CREATE VIEW endless AS WITH RECURSIVE n(user_id) AS (SELECT 1 UNION ALL SELECT user_id FROM n) SELECT * FROM n"
    )
    db.commit()
    assert groups("a.db", db.serialize()) == []


@pytest.fixture
def pyarrow(monkeypatch):
    """Stand in for pyarrow: two batches of a table of users."""

    class Column(list):
        def to_pylist(self):
            return list(self)

    def batch(*rows):
        columns = list(zip(*rows, strict=True))
        schema = types.SimpleNamespace(names=["user_id", "items"])
        return types.SimpleNamespace(schema=schema, num_rows=len(rows), column=lambda place: Column(columns[place]))

    batches = [batch(("22", ["1"])), batch(("196", ["2", "3"]), ("7", None))]
    parquet = types.SimpleNamespace(ParquetFile=lambda file: types.SimpleNamespace(iter_batches=lambda: batches))
    module = types.SimpleNamespace(ArrowException=OSError, parquet=parquet, ipc=None)
    for name, content in (("pyarrow", module), ("pyarrow.parquet", parquet)):
        monkeypatch.setitem(sys.modules, name, content)


def test_parquet_is_read_through_pyarrow(pyarrow):
    (trace,) = inspect("a.parquet", b"PAR1", None, clear())
    assert (trace.group, trace.kind, trace.what) == (MUST_FIX, "parquet table", "1 row of withdrawn users")


def test_parquet_without_pyarrow_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (trace,) = inspect("a.parquet", b"PAR1", None, clear())
    assert (trace.group, trace.what) == (NOT_INSPECTED, columnar.MISSING)


def test_a_list_that_is_too_long_is_read_element_by_element(monkeypatch):
    from recbole_unlearn.production.formats import json_files

    monkeypatch.setattr(json_files, "_AT_ONCE", 1000)
    monkeypatch.setattr(json_files, "_CHUNK", 100)
    rows = ", ".join(
        [json.dumps({"user_id": f"\xe4{one}", "n": 1.5}, ensure_ascii=False) for one in range(500)]
        + ['{"user_id": 196}']
    )
    assert groups("a.json", f"[{rows}]") == [("", MUST_FIX)]
    assert groups("a.json", f"[{rows}") == [("", MUST_FIX), ("", NOT_INSPECTED)]
    assert groups("a.json", '{"a": [' + rows + "]}") == [("", NOT_INSPECTED)]


def test_a_spec_travels_as_json():
    for wanted in (clear(), hashed(digests={"ab"})):
        again = Wanted.from_spec(json.loads(json.dumps(wanted.plain())))
        assert again.user("196")
        assert again.pair("5", "77")
        assert not again.user("5")
        assert again.digests == wanted.digests


def test_a_worker_starts_without_torch_recbole_or_pandas():
    code = (
        "import sys; from recbole_unlearn.production.formats.dispatch import inspect;"
        "print([name for name in ('torch', 'recbole', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_the_readers_import_the_standard_library_and_this_package_alone():
    for path in [*(PRODUCTION / "formats").glob("*.py"), *(PRODUCTION / f"{name}.py" for name in ("wanted", "tally"))]:
        for node in ast.parse(path.read_text()).body:
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"recbole_unlearn"}, f"{path}: {name}"
                assert name not in ("pickle", "marshal", "shelve"), f"{path}: {name}"


def test_a_file_on_disk_and_an_empty_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(str(JSON).replace("'", '"'))
    with open(path, "rb") as file:
        assert [trace.path for trace in inspect(str(path), file, path.stat().st_size, clear())] == [str(path)]
    assert inspect("a.csv", b"", 0, clear()) == inspect("a.csv", b"", None, clear()) == []
