"""Whoever is planted leaves the files that can be rewritten, and no byte of anybody else does."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.purging.cut import LeftAlone
from recbole_unlearn.production.trace import MUST_FIX
from tests.production.decoys import DECOYS
from tests.production.planted import (
    CSV,
    HEADERLESS_OURS,
    LOG,
    MUST,
    PLANTED,
    clear,
    gz,
    hashed,
    npz,
    sqlite,
    table,
    tarred,
    zipped,
)
from tests.production.purged import on_disk, purge, rewritten, withdraw, write

# What cannot go without its surroundings, or is rebuilt by nobody: it is listed with what to do by hand.
BY_HAND = {"histories.inter", "friends.csv", "left.csv", "nohup.out", "stderr.err", "train.txt", "split.npz"}
BY_HAND |= {"a.json", "bom.json", "wide.json", "noending2", "json.gz", "nested.json", "twice.json"}
BY_HAND |= {"user_embedding.weight.npy", "model.npz", "model.safetensors"}
REMOVABLE = {name: data for name, data in {**MUST, **HEADERLESS_OURS}.items() if name not in BY_HAND}


def test_most_of_what_is_planted_is_removable():
    assert len(REMOVABLE) > 120


@pytest.mark.parametrize("how", [clear, hashed])
@pytest.mark.parametrize("name", REMOVABLE)
def test_whoever_is_planted_in_the_data_sets_own_folder_leaves(name, how):
    if name in HEADERLESS_OURS and how is clear:
        pytest.skip("only the rows that left tell where users stand")
    left, gone = rewritten(name, REMOVABLE[name], wanted=how(), ours=True)
    assert gone
    assert not [trace for trace in inspect(name, left, len(left), how()) if trace.group == MUST_FIX]
    with pytest.raises(LeftAlone):
        rewritten(name, left or b"user_id\n", wanted=how(), ours=True)


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_what_cannot_go_by_itself_says_what_to_do(name):
    with pytest.raises(LeftAlone, match=r"by hand|delete|only files that end in \.log") as error:
        rewritten(name, MUST[name], ours=True)
    assert not any(token in str(error.value) for token in ("196", "anna", "A2CX", "m9000"))


def test_all_that_is_planted_is_purged_or_listed(tmp_path, capsys):
    withdraw(tmp_path / "data")
    folder = tmp_path / "data" / "shop" / "files"
    before = write(folder, {name: data for name, (data, _) in PLANTED.items()})
    code, report = purge(folder, data=tmp_path / "data")
    assert code == 1
    assert report["finished"]
    done = {one["path"].removeprefix(f"{folder}/"): one for one in report["files"]}
    listed = {trace["path"].removeprefix(f"{folder}/") for trace in report["left"]}
    assert set(PLANTED) <= set(done) | listed
    assert {name for name in MUST if done[name]["action"] != "rewrite"} == BY_HAND & set(MUST)
    after = on_disk(folder)
    assert {name for name in before if before[name] != after.get(name)} == set(MUST) - BY_HAND
    told = capsys.readouterr().out + json.dumps(report["files"])
    assert not any(token in told.replace("sha256", "") for token in ("anna@", "A2CX", "m9000"))
    assert purge(folder, data=tmp_path / "data")[0] == 1
    assert on_disk(folder) == after


def test_no_byte_of_a_decoy_changes(tmp_path, capsys):
    withdraw(tmp_path / "data")
    folder = tmp_path / "data" / "shop" / "files"
    before = write(folder, DECOYS)
    purge(folder, data=tmp_path / "data")
    assert on_disk(folder) == before


# Elsewhere than in the folder of the data set.


@pytest.mark.parametrize(
    "name", ["users.csv", "account.csv", "float.csv", "a.csv.gz", "shop.db", "lines.jsonl", "user_ids.npy"]
)
def test_bare_numbers_that_nothing_proves_to_be_ours_stay(name):
    with pytest.raises(LeftAlone, match="nothing proves"):
        rewritten(name if name != "shop.db" else "a.db", MUST[name])


@pytest.mark.parametrize("name", ["shop/users.csv", "shop_users.csv", "out/shop-2026.csv"])
def test_a_file_or_folder_named_after_the_data_set_is_ours(name, tmp_path):
    withdraw(tmp_path / "data")
    folder = tmp_path / "files"
    write(folder, {name: "user_id,age\n22,30\n196,40\n"})
    assert purge(folder, data=tmp_path / "data")[0] == 0
    assert on_disk(folder) == {name: b"user_id,age\n22,30\n"}


def test_another_data_set_with_the_same_numbers_loses_no_row(tmp_path, capsys):
    """FAULTS, "Purge destroyed": users 1 to 943 are in many data sets."""
    withdraw(tmp_path / "data")
    folder = tmp_path / "files"
    users = [(user, 20 + user % 50) for user in range(1, 944)]
    rows = [(user, item, 3, 88) for user in range(1, 944) for item in (user % 7, 300 + user % 11)]
    before = write(
        folder,
        {
            "users.csv": table(("user_id", "age"), users, ","),
            "ids.csv": table(("user_id",), [user[:1] for user in users], ","),
            "ratings.csv": table(("userId", "movieId", "rating", "timestamp"), rows, ","),
            "seen.csv": table(("user_id", "item_id"), [row[:2] for row in rows], ","),
            "u.data": table(None, rows),
            "ml-1m.inter": table(("user_id:token", "item_id:token", "rating:float"), [row[:3] for row in rows]),
            "users.json": json.dumps([{"user_id": user, "age": age} for user, age in users]),
            "users.jsonl": "".join(json.dumps({"user_id": user}) + "\n" for user, _ in users),
            "vocabulary.json": json.dumps({"users": [user for user, _ in users], "items": [1, 2]}),
            "users.db": sqlite("CREATE TABLE users (id INT, age INT)", "INSERT INTO users VALUES (196, 3), (22, 4)"),
            "one.csv": table(("userId", "movieId", "rating", "timestamp"), [(196, 242, 3, 88), (22, 1, 2, 88)], ","),
            "pair.csv": table(("user_id", "item_id", "n"), [(5, 77, 1), (22, 1, 2)], ","),
        },
    )
    code, report = purge(folder, data=tmp_path / "data")
    assert code == 1
    assert on_disk(folder) == before
    assert {one["action"] for one in report["files"]} == {"leave"}


def test_a_copy_of_the_data_set_is_known_by_its_rows(tmp_path):
    """FAULTS: a packed backup with 99,833 rows of others lost them all."""
    others = [(user, item, 3, 88) for user in range(1000, 1900) for item in range(111)][:99_833]
    ours = [("196", item, 4, 88) for item in ("242", "302", "377", "51")]
    header = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    data = gz(table(header, [*others[:50_000], *ours, *others[50_000:]]).encode())
    for name in ("backup.inter.gz", "copy.csv.gz"):
        left, gone = rewritten(name, data)
        assert gone == 4
        assert gzip_text(left) == table(header, others)


def gzip_text(data):
    import gzip

    return gzip.decompress(data).decode()


# The rest of a file stays byte for byte what it was.

EXACT = {
    "crlf.csv": ("user_id,n\r\n22,1\r\n196,2\r\n7,3\r\n", "user_id,n\r\n22,1\r\n7,3\r\n"),
    "no_end.csv": ("user_id,n\n196,2\n22,1", "user_id,n\n22,1"),
    "last.csv": ("user_id,n\n22,1\n196,2", "user_id,n\n22,1\n"),
    "mac.csv": ("user_id,n\r196,2\r22,1\r", "user_id,n\r22,1\r"),
    "mixed.csv": ("user_id,n\r\n196,2\n22,1\n7,2\r\n", "user_id,n\r\n22,1\n7,2\r\n"),
    "bom.csv": ("\ufeffuser_id,n\n196,2\n22,1\n", "\ufeffuser_id,n\n22,1\n"),
    "quoted.csv": (
        'user_id,note\n"196","a\nb,\n""c"""\n"22","d\n196\ne"\n',
        'user_id,note\n"22","d\n196\ne"\n',
    ),
    "blank.csv": ("user_id,n\n\n22,1\n\n196,1\n\n", "user_id,n\n\n22,1\n\n\n"),
    "only.csv": ("user_id,n\n196,1\n196.0,2\n", "user_id,n\n"),
    "twice.csv": ("user_id,n\n22,1\n22,1\n196,1\n22,1\n", "user_id,n\n22,1\n22,1\n22,1\n"),
    "a.log": ("start\nuser 196\r\nuser 22\n", "start\nuser 22\n"),
    "a.log.2": ("user 196\nuser 22", "user 22"),
    "a.jsonl": ('{"user_id":22 }\r\n{"user_id": 196}\r\n{ "user_id": 7}', '{"user_id":22 }\r\n{ "user_id": 7}'),
    "a.json": ('[ {"user_id": 196},\n  {"user_id": 22,  "n": 1e5} ]\n', '[ {"user_id": 22,  "n": 1e5} ]\n'),
    "b.json": ('[{"user_id": 22} , {"user_id": 196}]', '[{"user_id": 22}]'),
    "c.json": ('{"user_ids": [22, 196, 7], "n":1.50}', '{"user_ids": [22, 7], "n":1.50}'),
    "d.json": ('{"a": {"user_vectors": {"196": [1], "22": [2]}}}', '{"a": {"user_vectors": {"22": [2]}}}'),
    "request.json": (
        '{"users": ["22", "196"],\n "items": ["m9000"], "interactions": [["5", "77"], ["5", "78"]]}',
        '{"users": ["22"],\n "items": [], "interactions": [["5", "78"]]}',
    ),
    "columns.json": (
        '{"user_id": [22, 196], "item_id": [1, 2], "rating": [3, 4]}',
        '{"user_id": [22], "item_id": [1], "rating": [3]}',
    ),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", EXACT)
def test_every_other_byte_stays(name, encoding):
    before, after = EXACT[name]
    if encoding != "utf-8" and ("\ufeff" in before or "\r" in before.replace("\r\n", "") or len(before) < 40):
        before, after = ("user_id,n\n22,1\n196,ü\n7,é\n", "user_id,n\n22,1\n7,é\n")
        name = "a.csv"
    left, _ = rewritten(name, before.encode(encoding), ours=True)
    assert left == after.encode(encoding)


def test_text_that_is_no_utf_8_keeps_its_bytes():
    assert rewritten("a.csv", b"user_id,n\n22,Jos\xe9\n196,Andr\xe9\n", ours=True)[0] == b"user_id,n\n22,Jos\xe9\n"
    assert rewritten("a.log", b"\xfd\xfestart\nuser 196\n", ours=True)[0] == b"\xfd\xfestart\n"


def test_members_of_archives_stay_what_they_were():
    inner = tarred("rows/b.csv", CSV.encode(), "w:gz")
    data = zipped(x__png=b"\x89PNG\r\n196", rows__csv=CSV, notes__md="user 196\n", inner__tgz=inner)
    left, gone = rewritten("a.zip", data, ours=True)
    assert gone == 2
    with zipfile.ZipFile(io.BytesIO(left)) as new, zipfile.ZipFile(io.BytesIO(data)) as old:
        assert [one.filename for one in new.infolist()] == [one.filename for one in old.infolist()]
        assert [one.date_time for one in new.infolist()] == [one.date_time for one in old.infolist()]
        assert new.read("x.png") == old.read("x.png")
        assert new.read("notes.md") == old.read("notes.md")
        assert new.read("rows.csv").decode() == CSV.replace("196,242,4\n", "")
        with tarfile.open(fileobj=io.BytesIO(new.read("inner.tgz"))) as deep:
            assert deep.extractfile("rows/b.csv").read().decode() == CSV.replace("196,242,4\n", "")


def test_an_archive_with_a_member_that_cannot_go_stays():
    with pytest.raises(LeftAlone, match=r"a member: .*delete it"):
        rewritten("a.zip", zipped(rows__csv=CSV, one__json='{"user_id": 196}'), ours=True)


def test_columns_of_an_npz_stay_together():
    data = npz(
        train_users=np.array([1, 196, 7]),
        train_items=np.array([4, 5, 6]),
        rating=np.array([0.1, 0.2, 0.3]),
        k=np.ones(9),
    )
    left = np.load(io.BytesIO(rewritten("a.npz", data, ours=True)[0]))
    assert left["train_users"].tolist() == [1, 7]
    assert left["train_items"].tolist() == [4, 6]
    assert left["rating"].tolist() == [0.1, 0.3]
    assert len(left["k"]) == 9


def test_a_database_keeps_other_rows_and_loses_every_byte_of_those_that_go():
    database = sqlite(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, n INT)",
        "CREATE INDEX of_customer ON orders (customer)",
        "CREATE TABLE notes (id INT, body TEXT)",
        "INSERT INTO orders VALUES (1, 'anna@example.org', 1), (2, 'bert@example.org', 2), (3, '1960', 3)",
        "INSERT INTO notes VALUES (196, 'kept')",
    )
    left, gone = rewritten("a.db", database)
    assert gone == 1
    assert b"anna@" not in left
    import sqlite3

    db = sqlite3.connect(":memory:")
    db.deserialize(left)
    assert db.execute("SELECT * FROM orders ORDER BY id").fetchall() == [(2, "bert@example.org", 2), (3, "1960", 3)]
    assert db.execute("SELECT * FROM notes").fetchall() == [(196, "kept")]
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    "more", ["CREATE TRIGGER t AFTER DELETE ON o BEGIN DELETE FROM o; END", "CREATE VIRTUAL TABLE v USING fts5(x)"]
)
def test_nothing_in_a_database_runs(more):
    data = sqlite("CREATE TABLE o (user TEXT)", "INSERT INTO o VALUES ('anna@example.org'), ('bert')", more)
    with pytest.raises(LeftAlone, match="by hand"):
        rewritten("a.db", data)


LINES = [
    "Dockerfile",
    "Makefile",
    ".env",
    "requirements.txt",
    "a.yaml",
    "a.py",
    "README.md",
    "notes.txt",
    "a.out",
    "a.sh",
]


@pytest.mark.parametrize("name", LINES)
def test_lines_leave_logs_alone(name, tmp_path):
    """FAULTS: lines of a Dockerfile, a Makefile, .env and requirements.txt went."""
    withdraw(tmp_path / "data")
    folder = tmp_path / "data" / "shop" / "x"
    before = write(folder, {name: LOG.format("user_id=196 anna@example.org is gone") + "RUN x --user_id=196\n"})
    assert purge(folder, data=tmp_path / "data")[0] == 1
    assert on_disk(folder) == before


def test_parquet_without_pyarrow_is_left_and_with_it_rewritten():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    rows = pyarrow.table({"user_id": ["22", "196", "7"], "n": [1, 2, 3]})
    for name, write_table, read in (
        ("a.parquet", parquet.write_table, parquet.read_table),
        ("a.feather", feather.write_feather, feather.read_table),
    ):
        out = io.BytesIO()
        write_table(rows, out)
        left, gone = rewritten(name, out.getvalue(), ours=True)
        assert gone == 1
        assert read(io.BytesIO(left)).to_pylist() == [{"user_id": "22", "n": 1}, {"user_id": "7", "n": 3}]
