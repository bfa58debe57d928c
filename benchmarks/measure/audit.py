"""Audits folders whose content is known: who is planted is found or listed, nobody else is, and no hostile file does harm.

    python -m benchmarks.measure.audit [--files=20000] [--tokens=1000000] [--out=benchmarks/results/audit.json]

Everything goes the way of ``--audit``: through the walk, two workers and their limits. The parts: files in which somebody who
withdrew is planted (``tests/production/planted.py``), by what was said of them; files in which nobody is, and this checkout;
hostile files (``tests/production/hostile.py``), with the memory of the workers; many small files; and what a hash costs
for each token. Exit code 1: a planted file passed in silence, a decoy must be fixed, code ran, or a limit was exceeded.
"""

import argparse
import contextlib
import io
import json
import os
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.measure.timing import environment, write_json
from recbole_unlearn.production.search import Searched, search
from recbole_unlearn.production.spec import Spec
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED
from recbole_unlearn.settings.revision import source_digest
from tests.production import hostile
from tests.production import purged as purging
from tests.production.decoys import DECOYS, repository
from tests.production.planted import HEADERLESS_OURS, PLANTED, as_bytes, clear, hashed

ROOT = Path(__file__).parents[2]

_BROKEN = ("it broke", "died", "cannot be read (", "answer is none")


def write_files(folder: Path, contents: dict[str, Any]) -> None:
    """Write files by their names."""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(data))


def groups_of(searched: Searched, folder: Path) -> dict[str, set[str]]:
    """Return the groups of what was said of each file."""
    found: dict[str, set[str]] = {}
    for trace in searched.traces:
        found.setdefault(os.path.relpath(trace.path, folder), set()).add(trace.group)
    return found


def planted(folder: Path) -> dict[str, Any]:
    """Return by how planted files were told, known in clear and by the hashes of a ledger."""
    contents = {name: data for name, (data, _) in PLANTED.items()}
    write_files(folder, {**contents, **{f"without header/{name}": data for name, data in HEADERLESS_OURS.items()}})
    made: dict[str, Any] = {"files": len(contents) + len(HEADERLESS_OURS)}
    for way, wanted in (("in clear", clear()), ("by hashes", hashed())):
        found = groups_of(search([folder], wanted.spec), folder)
        expected = {name: group for name, (_, group) in PLANTED.items()}
        if way == "by hashes":
            expected |= {f"without header/{name}": MUST_FIX for name in HEADERLESS_OURS}
        silent = sorted(name for name in expected if name not in found)
        other = sorted(name for name, group in expected.items() if group not in found.get(name, {group}))
        best = Counter(_first(found.get(name, set())) for name in expected)
        made[way] = {**best, "silent": len(silent), "silent files": silent, "told otherwise than meant": other}
    return made


def _first(groups: set[str]) -> str:
    return next((group for group in (MUST_FIX, CHECK, NOT_INSPECTED) if group in groups), "silent")


def decoys(folder: Path) -> dict[str, Any]:
    """Return what was said of files in which nobody is, and of this checkout."""
    write_files(folder, DECOYS)
    ours = groups_of(search([folder], hashed().spec), folder)
    checkout = list(repository())
    theirs = groups_of(search(checkout, hashed(n_users=944).spec), ROOT)
    told = {
        where: {group: sum(group in groups for groups in found.values()) for group in (MUST_FIX, CHECK, NOT_INSPECTED)}
        for where, found in (("decoys", ours), ("this checkout", theirs))
    }
    return {"files": len(DECOYS), "files of this checkout": len(checkout), **told}


def purged(folder: Path) -> dict[str, Any]:
    """Return what a purge did to the planted files and to the decoys, in the folder of a data set with a ledger."""
    data = folder / "data"
    purging.withdraw(data)
    result: dict[str, Any] = {}
    contents = {name: data for name, (data, _) in PLANTED.items()}
    for name, files in (("planted", contents), ("decoys", DECOYS)):
        place = data / "shop" / name
        before = purging.write(place, files)
        with contextlib.redirect_stdout(io.StringIO()):
            _, report = purging.purge(place, data=data)
        after = purging.on_disk(place)
        actions = Counter(str(line["action"]) for line in report["files"])
        changed = sum(before[path] != after.get(path) for path in before)
        result[name] = {
            "files": len(files),
            "changed or deleted": changed,
            "actions": dict(actions),
            "left": len(report["left"]),
        }
    return result


def hostile_files(folder: Path) -> dict[str, Any]:
    """Return what hostile files did."""
    paths = hostile.write_all(folder)
    with open(folder / "sparse.csv", "wb") as file:
        file.write(b"user_id,n\n1,2\n")
        file.truncate(1 << 40)
    before = {path for path in folder.parent.rglob("*") if hostile.CANARY in path.name}
    with watching() as peaks, contextlib.chdir(folder):
        began = time.perf_counter()
        found = search([folder], Spec(users=["u3"]))
        seconds = time.perf_counter() - began
    ran = {path for path in folder.parent.rglob("*") if hostile.CANARY in path.name} - before
    broken = [trace.what for trace in found.traces if any(word in trace.what for word in _BROKEN)]
    listed = len({trace.path for trace in found.traces})
    return {
        "files": len(paths) + 1,
        "listed": listed,
        "code ran": len(ran) + (ROOT / hostile.CANARY).exists(),
        "tracebacks": len(broken),
        "what broke": broken,
        "peak memory of a worker in MB": round(max(peaks.values(), default=0) / 1e6),
        "workers": len(peaks),
        "seconds": round(seconds, 1),
    }


@contextlib.contextmanager
def watching() -> Any:
    """Give the greatest memory of each child process, which is looked at every few milliseconds."""
    peaks: dict[int, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.004):
            for status in Path("/proc").glob("[0-9]*/status"):
                with contextlib.suppress(OSError, ValueError, KeyError):  # one that has ended has no memory
                    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                    if int(lines["PPid"]) == os.getpid() and lines["Name"].strip().startswith("python"):
                        number = int(lines["Pid"])
                        peaks[number] = max(peaks.get(number, 0), int(lines["VmHWM"].split()[0]) * 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def many(folder: Path, count: int) -> dict[str, Any]:
    """Return how long so many small files take: rows, json, logs, code and pickles in turn."""
    kinds = ["shop.inter", "a.json", "run.log", "code.py", "users.npy", "a.csv.gz", "conf.yaml", "shop.db"]
    contents = [(name, as_bytes(PLANTED[name][0])) for name in kinds]
    for number in range(count):
        name, data = contents[number % len(contents)]
        path = folder / f"{number // 500:03}" / f"{number:05}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    began = time.perf_counter()
    found = search([folder], hashed().spec)
    return {
        "files": found.files,
        "bytes": found.bytes,
        "traces": len(found.traces),
        "workers": 2,
        "seconds": round(time.perf_counter() - began, 1),
    }


def hashes(folder: Path, count: int) -> dict[str, Any]:
    """Return how long a table with so many different users takes, known in clear and by hashes."""
    path = folder / "ratings.csv"
    path.write_text("user_id,item_id\n" + "".join(f"{number},{number % 997}\n" for number in range(count)))
    made: dict[str, Any] = {"rows": count, "users": count, "bytes": path.stat().st_size}
    key = bytes(range(32)).hex()
    ways = {
        "in clear": Spec(users=["x"]),
        "users by hashes": Spec(key=key, user_hashes=["00" * 16]),
        "users and pairs by hashes": Spec(key=key, user_hashes=["00" * 16], pair_hashes=["00" * 16]),
    }
    for way, spec in ways.items():
        began = time.perf_counter()
        search([folder], spec, workers=1)
        made[f"seconds {way}"] = round(time.perf_counter() - began, 2)
    return made


def wrong(result: dict[str, Any]) -> list[str]:
    """Return what is not as it must be."""
    limits = {
        "a planted file passed in silence": any(result["planted"][way]["silent"] for way in ("in clear", "by hashes")),
        "a decoy must be fixed": any(result["decoys"][where][MUST_FIX] for where in ("decoys", "this checkout")),
        "the purge changed a decoy": result["purge"]["decoys"]["changed or deleted"],
        "a hostile file ran code": result["hostile"]["code ran"],
        "a hostile file broke its reader": result["hostile"]["tracebacks"],
        "a worker took 1 GB": result["hostile"]["peak memory of a worker in MB"] >= 1000,
        "the small files took five minutes": result["many"]["seconds"] >= 300,
    }
    return [name for name, is_wrong in limits.items() if is_wrong]


def main() -> int:
    """Audit all of it and write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "audit.json")
    options = parser.parse_args()
    result: dict[str, Any] = {"source": source_digest()}
    parts = {
        "planted": planted,
        "decoys": decoys,
        "purge": purged,
        "hostile": hostile_files,
        "many": lambda folder: many(folder, options.files),
        "hashes": lambda folder: hashes(folder, options.tokens),
    }
    for name, part in parts.items():
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            inside = Path(folder, "in")
            inside.mkdir()
            result[name] = part(inside)
        print(name, json.dumps(result[name]), flush=True)
    result |= {"wrong": wrong(result), "environment": environment()}
    write_json(options.out, result)
    return int(bool(result["wrong"]))


if __name__ == "__main__":
    raise SystemExit(main())
