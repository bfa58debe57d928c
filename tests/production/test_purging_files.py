"""A purge meets full disks, files that change, links, kills, and a ledger that is gone: nothing of others is lost."""

import errno
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from recbole_unlearn.cli import main
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import Disk
from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.purging import carry_out as carrying
from recbole_unlearn.production.purging.carry_out import carry_out
from recbole_unlearn.production.purging.plan import LEAVE, REWRITE, Purge, plan
from recbole_unlearn.production.purging.whole import Models
from tests.production.planted import CSV, DATABASE, REPOSITORY, hashed, sqlite, zipped
from tests.production.purged import on_disk, purge, withdraw, write

ROWS = "user_id,n\n22,1\nanna@example.org,2\n7,3\n"
LEFT = b"user_id,n\n22,1\n7,3\n"


@pytest.fixture
def place(tmp_path):
    withdraw(tmp_path / "data")
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def planned(path):
    """Return the plan for a file, and what the purge knows."""
    purge = Purge(Models(hashed()))
    return plan(path, inspect(str(path), path.read_bytes(), None, hashed()), purge), purge


def test_neither_dry_run_nor_yes_does_nothing_and_says_so(place, tmp_path, capsys):
    before = write(place, {"a.csv": ROWS})
    command = [f"--purge={place}", "--dataset=shop", f"--data_path={tmp_path / 'data'}"]
    for more in ([], ["--yes=False"], ["--yes=True", "--dry_run=True"]):
        assert main([*command, *more]) == 2
        assert "--dry_run=True, do it with --yes=True" in capsys.readouterr().err
    for wrong, told in (
        ("--yes=maybe", "is True or False"),
        ("--trust_checkpoint=True", "takes no --trust_checkpoint"),
    ):
        assert main([*command, wrong]) == 2
        assert told in capsys.readouterr().err
    assert main([f"--purge={place}", "--yes=True"]) == 2
    assert "--dataset=NAME" in capsys.readouterr().err
    assert main([*command[1:], "--purge=nowhere", "--yes=True"]) == 2
    assert on_disk(place) == before


def test_a_dry_run_shows_and_changes_nothing(place, tmp_path, capsys):
    write(place, {"a.csv": ROWS, "b.zip": zipped(x__csv=ROWS), "c.db": sqlite(*DATABASE[:1])})
    before = on_disk(tmp_path)
    code, report = purge(place, data=tmp_path / "data", yes=False)
    after = on_disk(tmp_path)
    after.pop("purge.json")
    assert code == 1
    assert before == {name: data for name, data in after.items() if name in before}
    out = capsys.readouterr().out
    assert "a.csv: would be rewritten: 1 row of 3" in out
    assert "nothing was changed" in out
    assert report["dry_run"]
    assert {one["action"] for one in report["files"]} == {"rewrite"}
    assert purge(place, data=tmp_path / "data")[0] == 0
    assert (place / "a.csv").read_bytes() == LEFT


@pytest.mark.parametrize("what", ["gone", "no key", "open key", "other key", "emptied", "elsewhere", "garbage"])
def test_without_a_readable_ledger_nothing_is_touched(what, place, tmp_path, capsys, monkeypatch):
    """FAULTS: the correctly unlearned model went when the ledger or its key could not be read."""
    folder = tmp_path / "data" / "shop" / "ledger"
    before = write(place, {"a.csv": ROWS})
    data = tmp_path / "data"
    if what == "gone":
        (folder / "shop.sqlite").unlink()
    elif what == "no key":
        (folder / "ledger.key").unlink()
    elif what == "open key":
        (folder / "ledger.key").chmod(0o644)
    elif what == "other key":
        (folder / "ledger.key").write_text("ab" * 32 + "\n")
    elif what == "emptied":
        (folder / "shop.sqlite").write_bytes(b"")
    elif what == "garbage":
        (folder / "shop.sqlite").write_bytes(b"garbage" * 999)
    else:
        monkeypatch.chdir(place)
        data = Path("dataset")
    assert main([f"--purge={place}", "--dataset=shop", f"--data_path={data}", "--yes=True"]) == 2
    error = capsys.readouterr().err
    assert len([line for line in error.splitlines() if line.startswith("run_unlearn.py:")]) == 1
    assert "Traceback" not in error
    assert on_disk(place) == before


def test_only_what_the_ledger_records_leaves_a_request(place, tmp_path, capsys):
    """FAULTS: a request file that names two pending users went as a whole."""
    files = {
        "requests.csv": "user_id\n22\n196\n7\n",
        "request.json": '{"users": ["22", "196", "7"]}\n',
        "r.csv": "user_id\n22\n7\n",
    }
    write(place, files)
    outside = tmp_path / "list.txt"
    outside.write_text("user_id\n" + "".join(f"x{one}\n" for one in range(500)) + "196\n")
    assert purge(place, f"--withdraw={outside}", data=tmp_path / "data")[0] == 0
    assert on_disk(place) == {
        "requests.csv": b"user_id\n22\n7\n",
        "request.json": b'{"users": ["22", "7"]}\n',
        "r.csv": b"user_id\n22\n7\n",
    }
    assert "500 of 501 that the request names are not withdrawn" in capsys.readouterr().out
    assert "\n196\n" not in outside.read_text()
    assert outside.read_text().count("\n") == 501


def test_mode_stays_and_a_link_is_not_followed(place, tmp_path):
    write(place, {"a.csv": ROWS, "hard.csv": ROWS})
    outside = tmp_path / "outside.csv"
    outside.write_text(ROWS)
    (place / "link.csv").symlink_to(outside)
    os.link(place / "hard.csv", tmp_path / "hard2.csv")
    (place / "a.csv").chmod(0o640)
    code, report = purge(place, data=tmp_path / "data")
    assert code == 1
    assert (place / "a.csv").read_bytes() == LEFT
    assert (place / "a.csv").stat().st_mode & 0o777 == 0o640
    assert (outside.read_text(), (tmp_path / "hard2.csv").read_text()) == (ROWS, ROWS)
    assert any("hard link" in one["reason"] for one in report["files"])


def test_a_read_only_file_stays_and_is_listed(place, tmp_path):
    before = write(place, {"a.csv": ROWS})
    (place / "a.csv").chmod(0o444)
    code, report = purge(place, data=tmp_path / "data")
    assert (code, on_disk(place)) == (1, before)
    assert "read-only" in report["files"][0]["reason"]


class Full(Disk):
    def __init__(self, step):
        self.step = step

    def write(self, file, write):
        if self.step == "write":
            real = file

            class Refusing:
                def fileno(self):
                    return real.fileno()

                def write(self, data):
                    raise OSError(errno.ENOSPC, "No space left on device")

            write(Refusing())
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, write)

    def fsync(self, file):
        if self.step == "fsync":
            raise OSError(errno.ENOSPC, "No space left on device")
        super().fsync(file)

    def rename(self, old, new):
        if self.step == "rename":
            raise PermissionError(errno.EACCES, "Permission denied")
        super().rename(old, new)


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip", "a.db", "a.json"])
def test_a_full_disk_leaves_the_file_as_it_was(name, step, tmp_path):
    text = {"a.csv": ROWS, "a.csv.gz": gzip.compress(ROWS.encode()), "a.zip": zipped(b__csv=ROWS)}
    text["a.json"] = json.dumps([{"user": "anna@example.org"}, {"user": 2}])
    text["a.db"] = sqlite("CREATE TABLE o (user TEXT)", "INSERT INTO o VALUES ('anna@example.org'), ('bert')")
    before = write(tmp_path, {name: text[name]})
    action, known = planned(tmp_path / name)
    assert action.does == REWRITE
    done = carry_out(action, known, Full(step))
    assert done.does == LEAVE
    assert "nothing was changed" in done.reason
    assert on_disk(tmp_path) == before


@pytest.mark.parametrize("disk", ["no room", "no file can be made"])
def test_why_a_file_cannot_be_rewritten_is_said_on_any_disk(disk, tmp_path, monkeypatch):
    """Whoever makes room would learn only then that the file is to be changed by hand."""
    path = tmp_path / "a.csv"
    before = write(tmp_path, {"a.csv": "user_ids,n\n[22 anna@example.org],1\n7,3\n"})
    _, known = planned(path)
    action = plan(path, inspect(str(path), path.read_bytes(), None, hashed()), known, counts=False)
    assert action.does == REWRITE
    if disk == "no room":
        monkeypatch.setattr(carrying.shutil, "disk_usage", lambda folder: type("", (), {"free": 3}))
    done = carry_out(action, known, Full("write"))
    assert done.does == LEAVE
    assert "by hand" in done.reason
    assert done.reason == planned(path)[0].reason
    assert on_disk(tmp_path) == before


def test_a_file_that_cannot_be_read_is_not_said_to_be_unwritable(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text(ROWS)
    action, known = planned(path)

    def broken(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(carrying, "rewrite", broken)
    assert carry_out(action, known).reason == "it cannot be read (Input/output error): inspect it by hand"


def test_no_room_for_a_second_copy(tmp_path, monkeypatch):
    before = write(tmp_path, {"a.csv": ROWS})
    action, known = planned(tmp_path / "a.csv")
    monkeypatch.setattr(
        carrying.shutil, "disk_usage", lambda folder: os.terminal_size((0, 0)) and type("", (), {"free": 3})
    )
    done = carry_out(action, known)
    assert "no room" in done.reason
    assert on_disk(tmp_path) == before


@pytest.mark.parametrize("change", ["more", "touched", "other", "gone", "folder"])
def test_a_file_that_changes_after_the_plan_is_left_alone(change, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(ROWS)
    action, known = planned(path)
    if change == "more":
        path.write_text(ROWS + "9,9\n")
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "other":
        path.unlink()
        path.write_text(ROWS)
    else:
        path.unlink()
    if change == "folder":
        path.mkdir()
    before = on_disk(tmp_path)
    assert carry_out(action, known).does == LEAVE
    assert on_disk(tmp_path) == before


def test_a_file_that_changes_while_it_is_rewritten_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text(ROWS)
    action, known = planned(path)
    real = carrying.rewrite

    def rewrite(*arguments):
        rows = real(*arguments)
        with path.open("a") as file:
            file.write("9,9\n")
        return rows

    monkeypatch.setattr(carrying, "rewrite", rewrite)
    assert carry_out(action, known).does == LEAVE
    assert on_disk(tmp_path) == {"a.csv": (ROWS + "9,9\n").encode()}


KILLED = """
import os, signal, sys
from recbole_unlearn.lineage.store import Disk
from recbole_unlearn.cli import main
left, step = int(sys.argv[1]), sys.argv[2]
real = getattr(Disk, step)
def die(self, *arguments):
    global left
    if "purge.json" not in str(arguments):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *arguments)
setattr(Disk, step, die)
main(sys.argv[3:])
"""


@pytest.mark.parametrize(("step", "left"), [("rename", 0), ("fsync_folder", 1), ("fsync", 2), ("rename", 3)])
def test_a_purge_that_is_killed_is_run_again(step, left, place, tmp_path):
    names = [f"{one}.csv" for one in range(5)]
    write(place, {**dict.fromkeys(names, ROWS), "others.csv": "user_id,n\n22,1\n"})
    command = [f"--purge={place}", "--dataset=shop", f"--data_path={tmp_path / 'data'}", "--yes=True"]
    command.append(f"--report={tmp_path / 'purge.json'}")
    died = subprocess.run([sys.executable, "-c", KILLED, str(left), step, *command], cwd=REPOSITORY, timeout=120)
    assert died.returncode == -9
    assert all((place / name).read_bytes() in (ROWS.encode(), LEFT) for name in names)
    if (tmp_path / "purge.json").exists():
        assert not json.loads((tmp_path / "purge.json").read_text())["finished"]
    code, report = purge(place, data=tmp_path / "data")
    assert (code, report["finished"], report["exit_code"]) == (0, True, 0)
    assert on_disk(place) == {**dict.fromkeys(names, LEFT), "others.csv": b"user_id,n\n22,1\n"}


def test_a_withdrawal_meanwhile_ends_the_purge(place, tmp_path, monkeypatch, capsys):
    """What that withdrawal wrote is not known to this purge: it must not judge it."""
    from recbole_unlearn.production.purging import run

    before = write(place, {"a.csv": ROWS})
    real = run.plan

    def later(*arguments, **more):
        ledger = Ledger.open(tmp_path / "data" / "shop" / "ledger", "shop")
        with ledger.transaction():
            ledger.append(ledger.chain([{**ledger.rows()[0].entry}]))
        ledger.close()
        return real(*arguments, **more)

    monkeypatch.setattr(run, "plan", later)
    command = [f"--purge={place}", "--dataset=shop", f"--data_path={tmp_path / 'data'}", "--yes=True"]
    assert main([*command, f"--report={tmp_path / 'purge.json'}"]) == 2
    assert "run it again" in capsys.readouterr().err
    assert on_disk(place) == before
    assert not json.loads((tmp_path / "purge.json").read_text())["finished"]


def test_a_purge_waits_for_a_withdrawal(place, tmp_path):
    write(place, {"a.csv": ROWS})
    ledger = Ledger.open(tmp_path / "data" / "shop" / "ledger", "shop")
    codes = []
    with ledger.exclusive():
        worker = threading.Thread(target=lambda: codes.append(purge(place, data=tmp_path / "data")[0]))
        worker.start()
        time.sleep(1)
        assert (place / "a.csv").read_text() == ROWS
    worker.join(60)
    ledger.close()
    assert codes == [0]
    assert (place / "a.csv").read_bytes() == LEFT


def test_a_large_table_is_never_in_memory(tmp_path):
    path = tmp_path / "large.csv"
    block = "".join(f"{user},{'x' * 2000}\n" for user in range(1000, 2000)) * 4
    with path.open("w") as file:
        file.write("user_id,n\n")
        for _ in range(8):
            file.write(block + "anna@example.org,1\n")
    script = (
        "import resource, sys; from pathlib import Path; sys.argv = ['x'];"
        "from tests.production.test_purging_files import planned, carry_out\n"
        f"path = Path({str(path)!r})\n"
        "from recbole_unlearn.production.purging.plan import plan, Purge\n"
        "from recbole_unlearn.production.purging.whole import Models\n"
        "from recbole_unlearn.production.trace import Place\n"
        "from tests.production.planted import hashed\n"
        "known = Purge(Models(hashed()))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "done = carry_out(plan(path, [Place(str(path)).must_fix('table', '', '')], known), known)\n"
        "print(done.does, done.rows.before - done.rows.after,"
        " (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    size = path.stat().st_size
    told = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=500)
    does, gone, grown = told.stdout.split()
    assert (does, gone) == ("rewrite", "8"), told.stderr
    assert size > 60 << 20
    assert int(grown) < 20
    assert path.stat().st_size == size - 8 * len("anna@example.org,1\n")


PROTECTED = ("recbole_unlearn/data/users.csv", "tests/a.csv", "docs/a.csv", "setup.csv")


def test_a_checkout_of_this_project_is_left_alone(place, tmp_path):
    files = {"run_unlearn.py": "", "recbole_unlearn/__init__.py": "", "saved/out.csv": ROWS}
    before = write(
        place, {**files, **dict.fromkeys(PROTECTED, ROWS), "Dockerfile.csv": ROWS.replace("anna@example.org", "22")}
    )
    assert purge(place, data=tmp_path / "data")[0] == 1
    assert on_disk(place) == {**before, "saved/out.csv": LEFT}


def test_the_ledger_its_key_and_receipts_stay(tmp_path):
    withdraw(tmp_path / "data")
    ledger = tmp_path / "data" / "shop" / "ledger"
    purge(tmp_path / "data", data=tmp_path / "data")
    before = on_disk(ledger)
    assert purge(tmp_path / "data", data=tmp_path / "data")[0] == 0
    assert on_disk(ledger) == before


def test_a_report_is_written_over_no_other_file(place, tmp_path, capsys):
    write(place, {"a.csv": ROWS})
    (tmp_path / "other.json").write_text("{}")
    command = [f"--purge={place}", "--dataset=shop", f"--data_path={tmp_path / 'data'}", "--yes=True"]
    assert main([*command, f"--report={tmp_path / 'other.json'}"]) == 2
    assert main([*command, f"--report={tmp_path / 'no' / 'other.json'}"]) == 2
    assert (place / "a.csv").read_text() == ROWS


def test_the_report_tells_what_was_done(place, tmp_path):
    import hashlib

    write(place, {"a.csv": ROWS, "b.csv": CSV})
    _, report = purge(place, data=tmp_path / "data")
    first, second = report["files"]
    assert (first["action"], first["rows_before"], first["rows_after"]) == ("rewrite", 3, 2)
    assert first["sha256_before"] == hashlib.sha256(ROWS.encode()).hexdigest()
    assert first["sha256_after"] == hashlib.sha256(LEFT).hexdigest()
    assert (second["action"], second["sha256_before"]) == ("leave", None)
    assert (tmp_path / "purge.json").stat().st_mode & 0o777 == 0o600
    assert "anna" not in json.dumps(report)
