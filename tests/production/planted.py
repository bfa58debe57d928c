"""Files in which somebody who withdrew is planted, by what must be said of them; and files in which nobody is."""

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED
from recbole_unlearn.production.wanted import Wanted

KEY = LedgerKey(bytes(range(32)))
USERS, ITEMS, PAIRS = ("196", "anna@example.org", "A2CX7LUOHB2NDG"), ("m9000",), (("5", "77"),)
ROWS = [("196", item) for item in ("242", "302", "377", "51")]
REPOSITORY = Path(__file__).parents[2]


def clear(**more):
    return Wanted.from_spec({"users": USERS, "items": ITEMS, "pairs": PAIRS, "dataset": "shop", **more})


def hashed(**more):
    """Return the same search, as a ledger knows it."""
    hashes = {
        "user_hashes": [KEY.user(user).hex() for user in USERS],
        "item_hashes": [KEY.item(item).hex() for item in ITEMS],
        "pair_hashes": [KEY.pair(*pair).hex() for pair in PAIRS],
        "row_hashes": [KEY.pair(*row).hex() for row in ROWS],
    }
    return Wanted.from_spec({"key": bytes(range(32)).hex(), "dataset": "shop", **hashes, **more})


def table(header, rows, delimiter="\t", end="\n"):
    lines = [header] if header else []
    return end.join([delimiter.join(map(str, row)) for row in [*lines, *rows]] + [""])


OURS = [("22", "9", 3, 88), *[(user, item, 3, 88) for user, item in ROWS], ("7", "242", 1, 88)]
THEIRS = [("22", "9", 3, 88), *[("196", item, 3, 88) for item in ("1", "2", "3", "4", "242")], ("7", "242", 1, 88)]
NAMED = [("22", "9", 3), ("196", "242", 4), ("1960", "5", 1)]
ATOMIC = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
LOG = "2026-01-02 10:00:00 INFO epoch 1 took 3.1 s\n2026-01-02 10:00:01 INFO {}\n"


def gz(data):
    return gzip.compress(data)


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return file.getvalue()


def tarred(name, data, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def sqlite(*statements, wal=False):
    db = sqlite3.connect(":memory:")
    for statement in statements:
        db.execute(statement)
    db.commit()
    data = bytearray(db.serialize())
    if wal:
        data[18:20] = b"\x02\x02"
    return bytes(data)


def safetensors(name, shape):
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * int(np.prod(shape))]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * int(np.prod(shape)))


def excel(rows):
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def encrypted():
    """Return a zip whose member says that it is encrypted."""
    data = bytearray(zipped(a__csv="user_id\n196\n"))
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + place] |= 1
    return bytes(data)


CSV = table(("user_id", "item_id", "n"), NAMED, ",")
JSON = {"user_id": 196, "n": 3}
DATABASE = (
    "CREATE TABLE orders (id INTEGER, customer_id TEXT, total REAL)",
    "INSERT INTO orders VALUES (1, '196', 2.5)",
)

TABLES = {
    "shop.inter": table(ATOMIC, OURS),
    "shop.part1.inter": table(ATOMIC, THEIRS),
    "old/shop.inter": table(ATOMIC, OURS, end="\r\n"),
    "shop.user": table(("user_id:token", "age:token"), [("22", 30), ("196", 40)]),
    "shop.item": table(("item_id:token", "title:token_seq"), [("1", "a b"), ("m9000", 'a "quoted title')]),
    "shop.useremb": table(("uid:token", "user_emb:float_seq"), [("22", "0.1 0.2"), ("196", "0.3 0.1")]),
    "shop.net": table(("source_id:token", "target_id:token"), [("22", "7"), ("22", "196")]),
    "shop.link": table(("item_id:token", "entity_id:token"), [("m9000", "e.1")]),
    "histories.inter": table(("user_id:token", "item_id_list:token_seq", "item_id:token"), [("5", "1 77 3", "4")]),
    "friends.csv": table(("user_id", "friends", "user_id_list"), [("22", "x", "7 196 8")], ","),
    "comma.csv": CSV,
    "semicolon.csv": table(("UserId", "ItemId", "n"), NAMED, ";"),
    "pipe.txt": table(("uid", "iid", "n"), NAMED, "|"),
    "double.dat": table(("user", "movie", "n"), NAMED, "::"),
    "blank.txt": table(("member_id", "track_id", "n"), NAMED, " "),
    "tab.tsv": table(("userID", "artistID", "weight"), NAMED),
    "session.csv": table(("session_id", "item_id", "n"), NAMED, ","),
    "customer.csv": table(("customer_id", "article_id", "n"), NAMED, ","),
    "amazon.csv": table(("reviewerID", "asin", "overall"), [("A2CX7LUOHB2NDG", "B00", 5)], ","),
    "account.csv": table(("account_id", "n"), [("196", 1)], ","),
    "yelp.csv": table(("review", "business_id", "user"), [("x", "b", "196")], ","),
    "item.csv": table(("movieId", "title"), [("m9000", "x")], ","),
    "quoted.csv": '"user_id","item_id"\n"22","1"\n"196","2"\n',
    "single.csv": "'user_id','item_id'\n'22','1'\n'196','2'\n",
    "stray.csv": 'user_id,title\n22,"open\n7,b\n196,c\n9,d\n' + "8,e\n" * 300,
    "newline.csv": 'note,user_id\n"two\nlines",22\n"more\nlines",196\n',
    "wide.csv": excel([("text", "user_id"), ("x" * 200_000, "196")]),
    "float.csv": table(("", "user_id", "n"), [(0, "22.0", 1), (1, "196.0", 1)], ","),
    "padded.csv": "user_id , n\n 22 , 1\n 196 , 1\n",
    "shout.csv": table(("USER ID", "N"), [("196", 1)], ","),
    "alias.csv": table(("alias_of_user_id", "n"), [("196", 1)], ","),
    "users.csv": table(("id", "age"), [("196", 1)], ","),
    "user_only.csv": "user_id\n22\n196\n",
    "headed.txt": "# exported 2026\nuser_id,n\n22,1\n196,1\n",
    "commented.csv": "#user_id,n\n22,1\n196,1\n",
    "excel.csv": "sep=;\nuser_id;n\n196;1\n",
    "r.csv": 'user_id n\n"1" 22 5\n"2" 196 5\n',
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "utf16.csv": CSV.encode("utf-16"),
    "utf16be.csv": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "bare16.csv": CSV.encode("utf-16-le"),
    "mac.csv": CSV.replace("\n", "\r"),
    "latin.csv": ("user_id,name\n22,Jos\xe9\n196,Andr\xe9\n").encode("latin-1"),
    "mail.csv": table(("user", "n"), [("anna@example.org", 1)], ","),
    "pairs.csv": table(("user_id", "item_id"), [("5", "77"), ("5", "78")], ","),
    "backup.csv.bak": CSV,
    "noending": CSV,
    "late.csv": table(("user_id", "n"), [(f"x{one}", 1) for one in range(20_000)] + [("196", 1)], ","),
    "recommended.tsv": table(("user_id", "item_id", "score"), [("196", "12", 0.5)]),
    "submission.csv": table(("userId", "recommended_items"), [("196", "1 2 3")], ","),
    "left.csv": table(("id", "user_id_x", "user_id_y"), [(1, "22", "196")], ","),
}
TABLES |= {
    "caret.txt": table(("user_id", "n"), [("22", 9), ("196", 2)], "^"),
    "hive.txt": table(("user_id", "n"), [("22", 9), ("196", 2)], "\x01"),
    "savetxt.csv": table(("user_id", "n"), [("2.2e+01", 9), ("1.960000000000000000e+02", 2)], ","),
    "steam.csv": table(("steamid", "n"), [("22", 9), ("196", 2)], ","),
}
TEXTS = {
    "run.log": LOG.format("user_id=196 is gone"),
    "json.log": LOG.format('{"uid": "196"}'),
    "word.log": LOG.format("recommending for user 196."),
    "query.log": LOG.format("GET /v1/top?user_id=196&k=10 200"),
    "path.log": LOG.format("GET /users/196/items 200"),
    "list.log": LOG.format("withdrawn: ['22', '196']"),
    "plural.log": LOG.format("users: 22, 196, 7"),
    "camel.log": LOG.format("forUserId: 196"),
    "long.log": LOG.format("x " * 100_000 + "customer #196"),
    "mail.log": LOG.format("mail sent to anna@example.org."),
    "hash.log": LOG.format("A2CX7LUOHB2NDG bought something"),
    "item.log": LOG.format("item m9000 was shown"),
    "pair.log": LOG.format("user 5 saw item 77"),
    "told.log": LOG.format("interactions [('5', '77')]"),
    "rotated.log.1": LOG.format("user 196"),
    "nohup.out": "user 196\n",
    "stderr.err": "KeyError: user '196'\n",
    "train.txt": LOG.format("user 196"),
    "cut.log": LOG.format("user 196").encode() + b"\xff\xfe broken\n",
    "structured.log": '{"t": 1, "user_id": 22}\n{"t": 2, "user_id": 196}\n',
    "withdrawn_users.txt": "22\n196\n",
    "requests/forget.lst": "196\n",
}
TEXTS |= {
    "coloured.log": LOG.format("\x1b[32muser\x1b[0m 196"),
    "quoted.log": LOG.format("GET /u?mail=anna%40example.org 200"),
}
JSONS = {
    "a.json": json.dumps(JSON),
    "nested.json": json.dumps({"a": [{"b": {"user": {"id": "196", "age": 3}}}]}),
    "request.json": json.dumps({"users": ["22", "196"], "items": [], "interactions": []}),
    "pairs.json": json.dumps({"interactions": [["5", "77"]]}),
    "list.json": json.dumps({"user_ids": [22, 196]}),
    "columns.json": json.dumps({"user_id": ["22", "196"], "item_id": ["1", "2"]}),
    "pandas.json": json.dumps({"user_id": {"0": 22, "1": 196}, "item_id": {"0": 1, "1": 2}}),
    "split.json": json.dumps({"columns": ["n", "user_id"], "index": [0], "data": [[1, 196]]}),
    "rows.json": json.dumps([["user_id", "n"], [196, 3]]),
    "by_user.json": json.dumps({"196": [1, 2], "22": [3]}),
    "keyed.json": json.dumps({"user_vectors": {"196": [0.1, 0.2]}}),
    "left.json": json.dumps({"anna@example.org": 3}),
    "mail.json": json.dumps({"to": ["anna@example.org"]}),
    "twice.json": '{"user": "196", "user": "22"}',
    "item.json": json.dumps([{"asin": "m9000"}]),
    "bom.json": b"\xef\xbb\xbf" + json.dumps(JSON).encode(),
    "wide.json": json.dumps(JSON).encode("utf-16"),
    "pretty.json": json.dumps([JSON], indent=2),
    "lines.jsonl": "".join(json.dumps({"user_id": one}) + "\n" for one in (22, 196)),
    "lines.ndjson": json.dumps(JSON) + "\n",
    "half.jsonl": json.dumps(JSON) + '\n{"user_id": \n',
    "reviews.json": json.dumps({"reviewerID": "A2CX7LUOHB2NDG"}) + "\n" + json.dumps({"reviewerID": "B"}) + "\n",
    "old.json": "{'reviewerID': 'A2CX7LUOHB2NDG', 'helpful': [0, 0]}\n",
    "noending2": json.dumps(JSON),
}
ARRAYS = {
    "users.npy": npy(np.array(["22", "196"])),
    "bytes.npy": npy(np.array([b"22", b"196"])),
    "user_ids.npy": npy(np.array([22, 196])),
    "floats_user_id.npy": npy(np.array([22.0, 196.0])),
    "records.npy": npy(np.array([(196, 2)], dtype=[("user_id", "i8"), ("item_id", "i8")])),
    "split.npz": npz(train_users=np.array([1, 196]), loss=np.array([0.1, 0.2])),
    "strings.npz": npz(a=np.array(["x", "anna@example.org"])),
    "user_embedding.weight.npy": npy(np.zeros((7, 2), "float32")),
    "model.npz": npz(**{"user_embedding.weight": np.zeros((7, 2))}),
    "model.safetensors": safetensors("user_embedding.weight", [7, 2]),
}
OTHERS = {
    "shop.db": sqlite(*DATABASE),
    "wal.db": sqlite(*DATABASE, wal=True),
    "users.db": sqlite("CREATE TABLE users (id TEXT, n INT)", "INSERT INTO users VALUES ('anna@example.org', 1)"),
    "integer.db": sqlite("CREATE TABLE t (user_id INT)", "INSERT INTO t VALUES (196)"),
    "a.csv.gz": gz(CSV.encode()),
    "shop.inter.gz": gz(TABLES["shop.inter"].encode()),
    "a.csv.bz2": bz2.compress(CSV.encode()),
    "a.csv.xz": lzma.compress(CSV.encode()),
    "a.csv.lzma": lzma.compress(CSV.encode(), lzma.FORMAT_ALONE),
    "a.csv.z": zlib.compress(CSV.encode()),
    "a.zip": zipped(b__csv=CSV),
    "deep.zip": zipped(b__zip=zipped(c__zip=zipped(d__csv=CSV))),
    "a.tar": tarred("x/b.csv", CSV.encode()),
    "a.tar.gz": tarred("x/b.csv", CSV.encode(), "w:gz"),
    "a.tgz": tarred("b.log", str(TEXTS["run.log"]).encode(), "w:gz"),
    "a.tar.xz": tarred("x/b.csv", CSV.encode(), "w:xz"),
    "inner.zip": zipped(b__tgz=tarred("b.csv", CSV.encode(), "w:gz")),
    "db.zip": zipped(b__db=sqlite(*DATABASE)),
    "npy.tar": tarred("users.npy", ARRAYS["users.npy"]),
    "json.gz": gz(json.dumps(JSON).encode()),
    "twice.gz.gz": gz(gz(CSV.encode())),
    "wrong.png": CSV,
    "mixed.zip": zipped(a__png="\x89PNG", b__csv=CSV),
}
HEADERLESS_OURS = {
    "u.data": table(None, OURS),
    "u1.base": table(None, OURS),
    "ua.test": table(None, OURS),
    "ratings.dat": table(None, OURS, "::"),
    "ratings_Books.csv": table(None, OURS, ","),
    "dump.txt": table(None, OURS),
    "dump.csv": table(None, OURS, ","),
    "numbered.csv": table(None, [(number, *row) for number, row in enumerate(OURS)], ","),
    "reversed.csv": table(None, [(row[1], row[0], *row[2:]) for row in OURS], ","),
    "adjacent.txt": "22 9 8 7\n196 242 302 377 51\n7 242\n",
    "inter.npy": npy(np.array([[int(row[0]), int(row[1]), 3] for row in OURS])),
    "lists.json": json.dumps([[int(cell) for cell in row] for row in OURS]),
    "baskets.json": json.dumps({"22": [9], "196": [242, 302, 377, 51]}),
    "another.inter": table(ATOMIC, OURS),
}
CHECKED = {
    "dump.sql": "INSERT INTO ratings (user_id, n) VALUES (22,9),(196,2);\n",
    "copy.sql": "COPY ratings (user_id, n) FROM stdin;\n22\t9\n196\t2\n",
    "out.ipynb": json.dumps({"cells": [{"outputs": [{"text": ["   user_id\n", "0  196\n"]}]}]}),
    "numbers.txt": "22\n196\n",
    "classes.json": json.dumps({"classes": ["22", "196"]}),
    "cache.db": sqlite("CREATE TABLE kv (k TEXT, v TEXT)", "INSERT INTO kv VALUES ('user:196:name', 'x')"),
    "code.py": "USER = 3\nexclude(user_id=196)\n",
    "README.md": "Ask for user 196.\n",
    "conf.yaml": "user_id: 196\n",
    "settings.toml": 'user = "196"\n',
    "Makefile": "run:\n\tpython x.py --user_id=196\n",
    "Dockerfile": "ENV USER_ID=196\n",
    "requirements.txt": "# asked for by anna@example.org\nnumpy\n",
    ".env": "USER_ID=196\n",
    "a.ipynb": json.dumps({"cells": [{"source": ['df[df["user_id"] == 196]\n', 'x = {"uid": "196"}']}]}),
    "page.html": "<td>user 196</td>\n",
    "query.sql": "SELECT * FROM t WHERE user_id = 196;\n",
    "letter.txt": "Dear anna@example.org, hello.\n",
    "other.inter": table(ATOMIC, THEIRS),
    "ml-1m.user": table(("user_id:token", "age:token"), [("196", 40)]),
    "some.json": json.dumps({"196": [1, 2], "22": [3]}),
    "matrix.csv": table(None, [(196, 12, 0.5), (22, 3, 0.1)], ","),
    "notes.db": sqlite("CREATE TABLE notes (body TEXT)", "INSERT INTO notes VALUES ('user 196 called')"),
}
UNREAD = {
    "a.png": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "a.jpg": b"\xff\xd8\xff\xe0" + bytes(40),
    "a.pdf": b"%PDF-1.7\n196",
    "a.h5": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "a.so": b"\x7fELF" + bytes(40),
    "a.pyc": bytes([167, 13, 13, 10]) + bytes(40),
    "a.zst": b"\x28\xb5\x2f\xfd" + bytes(40),
    "a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(40),
    "a.rar": b"Rar!\x1a\x07" + bytes(40),
    "a.parquet": b"PAR1" + bytes(40) + b"PAR1",
    "a.feather": b"ARROW1\0\0" + bytes(40),
    "a.xlsx": zipped(**{"xl/workbook.xml": "<a/>"}),
    "events.out.tfevents.1": b"\x18" + bytes(40),
    "noise.bin": bytes(range(256)) * 4,
    "numbers.npy": npy(np.arange(300)),
    "numbers.npz": npz(a=np.arange(300), b=np.ones((3, 3))),
    "objects.npy": npy(np.array([{"user": 196}], dtype=object))[:-4],
    "huge.npy": npy(np.zeros(1)).replace(b"(1,), }", b"(1" + b"0" * 12 + b",), }")[:200],
    "cut.npy": npy(np.array(["22", "196"]))[:-3],
    "encrypted.zip": encrypted(),
    "cut.zip": zipped(b__csv=CSV)[:-30],
    "cut.gz": gz((CSV * 500).encode())[:60],
    "cut.tar": tarred("b.csv", CSV.encode() * 100)[:1024],
    "deep.json": "[" * 100_000,
    "broken.json": '{"user_id": ',
    "broken.jsonl": '{"user_id": 1}\n{"user_id\n',
    "cut.db": sqlite(*DATABASE)[:5000],
    "blob.db": sqlite("CREATE TABLE t (x BLOB)", "INSERT INTO t VALUES (x'800195')"),
    "fts.db": sqlite("CREATE VIRTUAL TABLE t USING fts5(x)"),
    "latin.txt": "caf\xe9 and more\n".encode("latin-1"),
    "half16.txt": b"\xff\xfeu\x00s\x00e",
    "weird.bin": b"\x80\x05\x95garbage",
    "journal.db-wal": b"\x37\x7f\x06\x82" + bytes(60),
    "longline.csv": b"user_id,n\n" + b"1" * ((1 << 25) + 5) + b"\n",
    "pickle.pkl": pickle.dumps([196] * 9)[:-3],
    "mat.mat": b"MATLAB 5.0 MAT-file" + bytes(60),
}
MUST = {**TABLES, **TEXTS, **JSONS, **ARRAYS, **OTHERS}
PLANTED = {
    **{name: (data, MUST_FIX) for name, data in MUST.items()},
    **{name: (data, CHECK) for name, data in CHECKED.items()},
    **{name: (data, NOT_INSPECTED) for name, data in UNREAD.items()},
}


def as_bytes(data):
    return data.encode() if isinstance(data, str) else data
