import os

import pytest

from recbole_unlearn.exceptions import StorageError
from recbole_unlearn.lineage.store import write_atomically


def test_a_file_appears_whole(tmp_path):
    write_atomically(tmp_path / "a" / "b.bin", lambda file: file.write(b"new"))
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"new"
    assert os.listdir(tmp_path / "a") == ["b.bin"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_fault_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "b.bin"
    path.write_bytes(b"old")

    def fault(*_):
        raise OSError("disk full")

    def write(file):
        file.write(b"half")
        if call == "write":
            fault()

    if call != "write":
        monkeypatch.setattr(os, call, fault)
    with pytest.raises(StorageError, match="disk full"):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["b.bin"]
