"""What breaks in a worker is one result; the rest goes on, and nothing but json comes back."""

import os
import signal
import time
from pathlib import Path

import pytest

from recbole_unlearn.production import workers
from recbole_unlearn.production.worker import memory_is_limited
from recbole_unlearn.production.workers import Limits, Looked, look_into
from tests.production import inspectors

TOLD = {
    "die": f"the worker that looked at it died (signal {int(signal.SIGABRT)})",
    "leave": "the worker that looked at it died (exit code 3)",
    "sleep": "it took longer than 2 s",
    "spin": "it took longer than 2 s",
    "raise": "it broke (KeyError)",
    "object": "it broke (TypeError)",
    "long": "its report is too large",
    "recurse": "it broke (RecursionError)",
}


ENDLESS = ("sleep", "spin")


@pytest.fixture
def files(tmp_path):
    def write(*contents):
        paths = [tmp_path / f"{number:05}" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content)
        return paths

    return write


def test_what_breaks_is_one_result_and_the_rest_goes_on(files):
    breaks = {word: reason for word, reason in TOLD.items() if word not in ENDLESS}
    paths = files(*(word for told in breaks for word in (told, "fine")))
    found = list(look_into(paths, inspectors.misbehave, {"word": "é"}, limits=Limits(seconds=120)))
    assert [one.path for one in found] == paths
    assert [one.reason for one in found[::2]] == list(breaks.values())
    assert [(one.found[:2], one.reason) for one in found[1::2]] == [(["fine", "é"], None)] * len(breaks)
    assert "token" not in repr(found)


@pytest.mark.parametrize("word", ENDLESS)
def test_what_does_not_end_is_ended(files, word):
    (found,) = look_into(files(word), inspectors.misbehave, {"word": "é"}, limits=Limits(seconds=2))
    assert found.reason == TOLD[word]


@pytest.mark.skipif(not memory_is_limited(), reason="this platform limits no memory")
def test_memory_is_limited(files):
    found = list(look_into(files("eat", "fine"), inspectors.misbehave, workers=1))
    assert found[0].reason == "it needs more memory than is allowed"
    assert found[1].found[0] == "fine"


def test_what_a_worker_prints_is_no_answer(files):
    (found,) = look_into(files("print"), inspectors.misbehave)
    assert found.found[0] == "print"


def test_workers_are_replaced(files):
    found = list(look_into(files(*"abcdef"), inspectors.misbehave, workers=1, limits=Limits(files=2)))
    numbers = [one.found[2] for one in found]
    assert numbers[::2] == numbers[1::2]
    assert len(set(numbers)) == 3
    assert os.getpid() not in numbers


def test_what_is_prepared_is_made_once_per_worker(files):
    paths = files(*"abc")
    found = list(
        look_into(paths, inspectors.with_what_was_made, {"word": "w"}, workers=1, prepare=inspectors.made_once)
    )
    assert [one.found for one in found] == [["w", *(path.name for path in paths[:k])] for k in (1, 2, 3)]


def test_a_large_file_may_take_longer_by_what_it_has_on_disk(files, tmp_path):
    (small,) = files("sleep")
    with open(tmp_path / "hole", "wb") as hole:
        hole.truncate(1 << 40)
    (tmp_path / "large").write_bytes(bytes(range(256)) * (3 << 15))
    assert workers._seconds_for(small, 2.0) == workers._seconds_for(tmp_path / "hole", 2.0) == 2
    assert workers._seconds_for(tmp_path / "large", 2.0) == 8
    assert workers._seconds_for(tmp_path / "gone", 2.0) == 2


def test_a_worker_starts_light_and_imports_nothing_from_where_it_looks(files, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("open('owned', 'w')")
    (found,) = look_into(files("x"), inspectors.modules)
    assert {"numpy", "recbole_unlearn"} <= set(found.found)
    assert not {"torch", "recbole", "pandas", "joblib"} & set(found.found)
    assert not Path("owned").exists()


def test_names_of_any_bytes_arrive(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\n\x1b[2J"))
    try:
        path.write_text("there")
    except OSError:
        pytest.skip("this file system allows no such name")
    assert list(look_into([path], inspectors.read, {"note": "n"})) == [Looked(path, ["n", "there"])]


def test_a_function_that_cannot_be_imported_is_a_reason(files):
    class Nowhere:
        __module__, __qualname__ = "tests.production.inspectors", "nowhere"

    (found,) = look_into(files("x"), Nowhere)
    assert found.reason == "the worker that looked at it died (exit code 1)"


def test_who_stops_early_leaves_no_worker_behind(files):
    results = look_into(files("fine", *["sleep"] * 20), inspectors.misbehave)
    number = next(results).found[2]
    began = time.perf_counter()
    results.close()
    assert time.perf_counter() - began < 60, "it waited for files that sleep for 60 s"
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_many_files_take_little_each(files, monkeypatch):
    paths = files(*map(str, range(2000)))
    started, start = [], workers._Worker._start
    monkeypatch.setattr(workers._Worker, "_start", lambda worker: started.append(1) or start(worker))
    found = list(look_into(iter(paths), inspectors.read))
    assert [one.found[1] for one in found] == list(map(str, range(2000)))
    assert len(started) <= (os.cpu_count() or 1), "a process for each file would take minutes"
