"""Whatever fails, and whenever the process dies: the model file and the ledger agree, and nothing half-written is left."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from recbole_unlearn.exceptions import LedgerError, StorageError
from recbole_unlearn.lineage.commit import commit, recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import owed
from recbole_unlearn.lineage.store import Disk, file_digest
from tests.lineage.conftest import withdrawn


def write(file, anchor):
    file.write(json.dumps(anchor).encode() * 1000)


class Killed(BaseException):
    """The process dies here: nobody cleans up."""


class FaultyDisk(Disk):
    """Fails at the n-th step, before or after doing it; ``forever`` from then on."""

    def __init__(self, at, fault, after=False, forever=False):
        self.at, self.fault, self.after, self.forever, self.steps = at, fault, after, forever, []

    def _step(self, name, *arguments):
        self.steps.append(name)
        hit = len(self.steps) == self.at or (self.forever and len(self.steps) > self.at)
        if hit and not self.after:
            if name == "write":
                arguments[0].write(b"half")
            raise self.fault
        getattr(super(), name)(*arguments)
        if hit:
            raise self.fault

    def write(self, *arguments):
        self._step("write", *arguments)

    def fsync(self, *arguments):
        self._step("fsync", *arguments)

    def rename(self, *arguments):
        self._step("rename", *arguments)

    def fsync_folder(self, *arguments):
        self._step("fsync_folder", *arguments)

    def commit(self, *arguments):
        self._step("commit", *arguments)


STEPS = ["commit", "write", "fsync", "commit", "rename", "fsync_folder", "commit"]


def agree(ledger, model):
    """Check that model file and ledger tell the same, and return how many withdrawals they know."""
    anchor = json.loads(model.read_bytes()[: len(model.read_bytes()) // 1000])
    assert model.read_bytes() == json.dumps(anchor).encode() * 1000
    assert anchor == ledger.anchor
    assert ledger.verify() == []
    assert ledger.state("commit") is None
    assert len(ledger.tombstones()["user"]) == anchor["count"]
    assert not [name for name in os.listdir(model.parent) if "withdrawing" in name]
    return anchor["count"]


@pytest.fixture
def first(ledger, tmp_path):
    """Return a model file with one withdrawal."""
    commit(ledger, tmp_path / "model.pth", [withdrawn(ledger, "u1")], write)
    return tmp_path / "model.pth"


def test_the_steps_of_a_commit(ledger, first):
    ledger.disk = disk = FaultyDisk(0, None)
    commit(ledger, first, [withdrawn(ledger, "u2")], write, disk=disk)
    assert disk.steps == STEPS
    assert agree(ledger, first) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, len(STEPS) + 1))
def test_death_at_every_step_leaves_old_or_new(ledger, first, at, after):
    old = first.read_bytes()
    ledger.disk = disk = FaultyDisk(at, Killed(), after)
    with pytest.raises(Killed):
        commit(ledger, first, [withdrawn(ledger, "u2")], write, disk=disk)
    if ledger.db.in_transaction:
        ledger.db.execute("ROLLBACK")
    on_disk = first.read_bytes()
    ledger.close()
    again = Ledger.open(ledger.path.parent, "tiny")
    recover(again)
    written = at > 4 or (at == 4 and after)
    assert agree(again, first) == (2 if written else 1)
    assert (on_disk == old) == (at < 5 or (at == 5 and not after))
    assert commit(again, first, [withdrawn(again, "u3")], write).rows[0].seq == (3 if written else 2)
    again.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("at", range(1, len(STEPS) + 1))
def test_a_disk_that_refuses_for_good(ledger, first, at, code):
    ledger.disk = disk = FaultyDisk(at, OSError(code, os.strerror(code)), forever=True)
    with pytest.raises(StorageError, match="the disk cannot be written"):
        commit(ledger, first, [withdrawn(ledger, "u2")], write, disk=disk)
    ledger.disk = Disk()
    recover(ledger)
    assert agree(ledger, first) == (2 if at > 4 else 1)


@pytest.mark.parametrize("at", range(1, len(STEPS) + 1))
def test_a_disk_that_refuses_once(ledger, first, at):
    ledger.disk = disk = FaultyDisk(at, OSError(errno.ENOSPC, "No space left on device"))
    try:
        commit(ledger, first, [withdrawn(ledger, "u2")], write, disk=disk)
        assert at > 4  # what is written completely is finished at once
    except StorageError:
        assert at <= 4
    assert agree(ledger, first) == (2 if at > 4 else 1)


def test_a_folder_that_cannot_be_written(ledger, first, monkeypatch):
    monkeypatch.setattr("os.open", _refuse(os.open, ".withdrawing"))
    with pytest.raises(StorageError, match="Permission denied"):
        commit(ledger, first, [withdrawn(ledger, "u2")], write)
    monkeypatch.undo()
    assert agree(ledger, first) == 1


def _refuse(real, part):
    def opened(path, flags, *arguments, **options):
        if part in str(path) and flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *arguments, **options)

    return opened


def test_a_writer_that_fails_is_not_hidden(ledger, first):
    def broken(file, anchor):
        file.write(b"half")
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        commit(ledger, first, [withdrawn(ledger, "u2")], broken)
    assert agree(ledger, first) == 1


def test_recovery_leaves_a_newer_model_alone(ledger, first):
    """Who replaced the model after the crash keeps it; the withdrawal is owed by it, and not recorded."""
    ledger.disk = disk = FaultyDisk(5, Killed())
    with pytest.raises(Killed):
        commit(ledger, first, [withdrawn(ledger, "u2")], write, disk=disk)
    first.write_bytes(b"trained anew")
    ledger.disk = Disk()
    assert not recover(ledger)
    assert first.read_bytes() == b"trained anew"
    assert ledger.anchor["count"] == 1
    assert owed(ledger, first) == [{"user": [ledger.key.user("u2")], "item": [], "pair": []}]
    assert not [name for name in os.listdir(first.parent) if "withdrawing" in name]


@pytest.mark.parametrize(("at", "finished"), [(3, False), (5, True)])
def test_recovery_says_whether_it_finished_a_commit(ledger, first, at, finished):
    """A caller who hears no would carry out the withdrawal a second time."""
    ledger.disk = disk = FaultyDisk(at, Killed())
    with pytest.raises(Killed):
        commit(ledger, first, [withdrawn(ledger, "u2")], write, disk=disk)
    ledger.disk = Disk()
    assert recover(ledger) is finished
    assert recover(ledger) is False  # there is nothing left to finish
    assert agree(ledger, first) == (2 if finished else 1)


def test_a_file_that_changed_meanwhile_is_not_replaced(ledger, first):
    with pytest.raises(LedgerError, match="changed since it was loaded"):
        commit(ledger, first, [withdrawn(ledger, "u2")], write, replaces="0" * 64)
    assert agree(ledger, first) == 1
    commit(ledger, first, [withdrawn(ledger, "u2")], write, replaces=file_digest(first))
    assert agree(ledger, first) == 2


def test_permissions_of_the_model_stay(ledger, first):
    first.chmod(0o640)
    commit(ledger, first, [withdrawn(ledger, "u2")], write)
    assert first.stat().st_mode & 0o777 == 0o640


LOOP = """
import sys
from pathlib import Path
from recbole_unlearn.lineage.commit import commit, recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import owed
from tests.lineage.conftest import withdrawn
from tests.lineage.test_commit import write
ledger = Ledger.open(sys.argv[1], "tiny")
recover(ledger)
while True:
    sys.stdout.write("."); sys.stdout.flush()
    commit(ledger, sys.argv[2], [withdrawn(ledger, f"user {ledger.anchor['count']}")], write)
"""
FORKS = """
import os, random, signal, sys, time
folder, model, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
stages = set()
import numpy, tests.lineage.test_commit as t
random.seed(7)
while kills > 0 or not {"writing", "written"} <= stages:  # until kills have hit both windows
    kills -= 1
    read, sent = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(sent, 1)
        sys.argv = ["loop", folder, model]
        exec(t.LOOP)
    os.read(read, 1)  # the child is at its first commit
    time.sleep(random.random() * .04)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read), os.close(sent)
    ledger = t.Ledger.open(folder, "tiny")
    found = ledger.state("commit")
    stage = found["stage"] if found else "none"
    stages.add(stage)
    t.recover(ledger)
    count = t.agree(ledger, t.Path(model)) if os.path.exists(model) else ledger.anchor["count"]
    ledger.close()
    print(stage, count, flush=True)
"""


def test_a_hundred_kills(tmp_path):
    script = FORKS.replace("t.Path", "__import__('pathlib').Path")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "ledger"), str(tmp_path / "model.pth"), "100"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(lines) >= 100
    counts = [int(count) for _, count in lines]
    assert counts == sorted(counts)
    assert {"writing", "written"} <= {stage for stage, _ in lines}


def test_a_second_process_waits_or_says_so(ledger, tmp_path):
    script = (
        "import sys, time; from recbole_unlearn.lineage.ledger import Ledger\n"
        f"with Ledger.open({str(tmp_path / 'ledger')!r}, 'tiny').exclusive(): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(LedgerError, match="another process or thread is carrying out"), ledger.exclusive(patience=0.2):
        pass
    other.send_signal(signal.SIGKILL)  # the lock dies with its process
    other.wait()
    with ledger.exclusive(patience=5), ledger.exclusive():
        assert held_elsewhere(ledger)
    assert not held_elsewhere(ledger)


def held_elsewhere(ledger):
    """Return whether another thread finds the lock taken."""
    found = []

    def ask():
        try:
            with ledger.exclusive(patience=0):
                found.append(False)
        except LedgerError:
            found.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]
