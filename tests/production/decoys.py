"""Files in which nobody who withdrew is named, however much it looks like it."""

import json

import numpy as np

from tests.production.planted import ATOMIC, LOG, REPOSITORY, THEIRS, gz, npy, npz, safetensors, sqlite, table, zipped

OTHER_ROWS = [("22", "9", 3), ("1960", "196", 4), ("19", "6", 1)]
OTHERS_CSV = table(("user_id", "item_id", "n"), OTHER_ROWS, ",")
BILLS = ("CREATE TABLE bills (id INT, customer_id TEXT, total INT)", "INSERT INTO bills VALUES (196, '22', 196)")
DECOYS = {
    "loop.py": "for epoch in range(196):\n    user = 196\n    seed = 196\n",
    "tests.py": 'assert names(user="196")\nWITHDRAWN = ["196"]\n',
    "conf.yaml": "epochs: 196\nuser_id: 196\n",
    "train.log": LOG.format("epoch 196 took 196 s, loss 196.0"),
    "counts.log": LOG.format("The number of users: 196, items: 196"),
    "plural.log": LOG.format("196 users were read, 196 user rows"),
    "port.log": LOG.format("listening on 0.0.0.0:196 pid 196"),
    "other.log": LOG.format("user_id=1960 and user 19 and user_id=0196"),
    "mail.log": LOG.format("sent to joanna@example.org and anna@example.org.uk"),
    "rows.log": LOG.format("deleted 196 rows, withdrawn: 196"),
    "items.log": LOG.format("item 196 was shown"),
    "pairs.log": LOG.format("user 5 saw item 78, user 6 saw item 77"),
    "others.csv": OTHERS_CSV,
    "others.json": json.dumps([{"user_id": 22, "n": 196}, {"item_id": 196}]),
    "counts.json": json.dumps({"users": 196, "items": 196, "interactions": 196}),
    "config.json": json.dumps({"seed": 196, "embedding_size": 196, "topk": [10, 196]}),
    "others_request.json": json.dumps({"users": ["1960"], "items": ["196"], "interactions": [["5", "78"]]}),
    "package.json": json.dumps({"author": {"name": "somebody"}, "version": "1.9.6"}),
    "others.jsonl": "".join(json.dumps({"user": one, "age": 196}) + "\n" for one in (1, 2)),
    "others.db": sqlite(*BILLS),
    "others.csv.gz": gz(OTHERS_CSV.encode()),
    "others.zip": zipped(a__csv=OTHERS_CSV, b__py="x = 196\n"),
    "metrics.csv": "epoch,loss\n196,0.5\n197,0.4\n",
    "numbers.csv": table(None, [(196, 0.5, 1), (197, 0.4, 1)], ","),
    "shop.item": table(("item_id:token", "title:token_seq"), [("196", "a b")]),
    "shop.inter": table(ATOMIC, [("22", "196", 1, 196)]),
    "items.npy": npy(np.array(["196", "22"])),
    "ids.npy": npy(np.arange(300)),
    "scores.npz": npz(user_scores_mean=np.array([0.5, 0.25]), seeds=np.array([196])),
    "items.safetensors": safetensors("item_embedding.weight", [196, 2]),
    "requirements.txt": "numpy==1.9.6\ntorch>=1.96\n",
    "Makefile": "N = 196\n",
    "u_data.md": "| user | item |\n|---|---|\n| 196 | 242 |\n",
    "ml-1m.inter": table(ATOMIC, THEIRS),
    "ml-1m.user": table(("user_id:token", "age:token"), [("196", 40)]),
    "u.data": table(None, THEIRS),
    "ratings.dat": table(None, THEIRS, "::"),
    "ratings.csv": table(("userId", "movieId", "rating", "timestamp"), THEIRS, ","),
    "theirs.txt": table(None, THEIRS),
    "adjacent.txt": "22 9 8 7\n196 1 2 3 4\n7 242\n",
    "theirs.json": json.dumps([[int(cell) for cell in row] for row in THEIRS]),
    "theirs.npy": npy(np.array([[int(row[0]), int(row[1]), 3] for row in THEIRS])),
    "theirs.zip": zipped(**{"ml-1m/ml-1m.inter": table(ATOMIC, THEIRS)}),
}
_LEFT_OUT = {".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".venv", "saved", "log", "dataset"}


def repository():
    """Return the files of this repository, but for those that are planted with somebody."""
    for path in sorted(REPOSITORY.rglob("*")):
        parts = path.relative_to(REPOSITORY).parts
        left_out = _LEFT_OUT & set(parts) or parts[:2] == (
            "benchmarks",
            "cache",
        )  # trained models, of which git has none
        if path.is_file() and not left_out and path.stat().st_size < 1 << 20:
            yield path
