"""Nothing in a hostile file runs, none of them takes the memory or the time of the others, none raises."""

import contextlib
import os
import pickle
import random
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_unlearn.production import files, inert, stand_ins, trace
from recbole_unlearn.production.contents import as_array, as_dict, as_list, as_table, read_content
from recbole_unlearn.production.files import display, files_below
from recbole_unlearn.production.inert import read_pickle
from recbole_unlearn.production.stand_ins import Global, StandIn
from recbole_unlearn.production.trace import NotInspected
from recbole_unlearn.production.workers import Limits, look_into
from tests.production import hostile, inspectors

ROOT = Path(inspectors.__file__).parents[2]


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """Look at all of them once, in a folder of their own; return the results by name, and what was there before."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = hostile.write_all(folder)
    before = set(os.listdir(folder))
    modules = {name: id(module) for name, module in sys.modules.items()}
    began = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = list(look_into(paths, inspectors.describe, limits=Limits(seconds=120)))
    sys.stdout.write(f"{len(paths)} hostile files: {time.perf_counter() - began:.1f} s\n")
    assert {name: id(module) for name, module in sys.modules.items()} == modules
    return folder, before, {one.path.name: one for one in found}


def test_no_code_runs_and_nothing_is_raised(looked):
    folder, before, found = looked
    assert len(found) == len(before) > 120
    assert not {name for name, one in found.items() if "it broke" in (one.reason or "")}
    assert set(os.listdir(folder)) == before
    assert not any((place / hostile.CANARY).exists() for place in (folder, folder.parent, ROOT))
    assert {name for name, one in found.items() if "died" in (one.reason or "")} == set()


def test_none_takes_more_memory_than_it_may(looked):
    peaks = [one.found["peak"] for one in looked[2].values() if one.reason is None]
    assert len(peaks) > 20
    assert max(peaks) < 1.2e9  # a worker that has seen all of them before it, and numpy
    assert not any(one.found["torch"] for one in looked[2].values() if one.reason is None)


REASONS = {
    "torch script.pth": "a TorchScript archive, which holds programs",
    "torch constants.pth": "a TorchScript archive, which holds programs",
    "torch code.pth": "a TorchScript archive, which holds programs",
    "torch other members.pth": "a zip with other members than those that torch.save writes",
    "torch big-endian.pth": "a file of torch.save in another byte order",
    "pickle build on a class.pkl": "a pickle that sets the state of a class or function",
    "pickle build on a function.pkl": "a pickle that sets the state of a class or function",
    "pickle build on a module.pkl": "a pickle that sets the state of a class or function",
    "pickle items of a module.pkl": "a pickle that sets an item of a class or function",
    "pickle append to a path.pkl": "a pickle that appends to a class or function",
    "pickle call a text.pkl": "a pickle that calls something else than what it names",
    "pickle long bytes.pkl": "it is cut off, or says that it is longer than it is",
    "pickle key of deep tuples.pkl": "a pickle with a key of tuples in tuples",
    "pickle laughs of tuples as a key.pkl": "a pickle with a key of tuples in tuples",
    "zip absolute.zip": "a zip with names that lead out of it",
    "zip up.zip": "a zip with names that lead out of it",
    "zip overlapping.zip": "a zip whose members overlap",
    "zip encrypted.zip": "a zip with a password",
    "zip crc.zip": "packed data that are damaged (BadZipFile)",
    "zip bomb.zip": "it unpacks to more than is allowed",
    "bomb.gz": "it unpacks to more than is allowed",
    "bomb.bz2": "it unpacks to more than is allowed",
    "bomb.xz": "it unpacks to more than is allowed",
    "cut off.gz": "packed data that are damaged (EOFError)",
    "npy huge.npy": "it is cut off, or says that it is longer than it is",
    "npy code.npy": "an npy file with an invalid header",
    "npy nested.npy": "an npy file with an invalid header",
    "npy items of no bytes.npy": "an array of more items than its bytes can hold",
    "pipe.pkl": "a pipe",
    "s": "a socket",
    "device.pkl": "a link, which is not followed",
    "circle.pkl": "a link, which is not followed",
    "folder.pkl": "a folder",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_told(looked, name):
    assert looked[2][name].reason == REASONS[name]


@pytest.mark.parametrize("name", ["new\nline.pkl", "not utf-8 \udcff.pkl", "pickle itself.pkl", "torch module.pth"])
def test_what_is_harmless_is_read(looked, name):
    assert looked[2][name].reason is None


@pytest.mark.parametrize("name", [name for name, data in hostile.PICKLES.items() if len(data) < 100_000])
def test_a_pickle_makes_stand_ins_or_nothing_and_changes_nothing(name, tmp_path):
    watched = (inert, stand_ins, trace, files, os, sys, pickle, inert._Machine, StandIn, Global)
    before = [dict(vars(thing)) for thing in watched]
    path = tmp_path / "x.pkl"
    path.write_bytes(hostile.PICKLES[name])
    try:
        with open(path, "rb") as file:
            content = read_pickle(file)
    except NotInspected:
        content = None
    plain = (type(None), bool, int, float, str, bytes, bytearray, list, dict, tuple, set, frozenset, StandIn, Global)
    assert all(type(thing) in plain for thing in stand_ins.walk(content))
    assert [dict(vars(thing)) for thing in watched] == before
    assert os.listdir(tmp_path) == ["x.pkl"]


def test_no_name_forges_a_line():
    names = ["a\nb", "a\rb", "\x1b[2J", "\u202e", "\udcff", "back\\slash", "\u2028", "caf\u00e9"]
    shown = [display(name) for name in names]
    assert shown[:5] == ["a\\nb", "a\\rb", "\\x1b[2J", "\\u202e", "\\udcff"]
    assert shown[5:] == ["back\\\\slash", "\\u2028", "caf\u00e9"]
    assert all(name.isprintable() for name in shown)


def test_a_folder_that_cannot_be_listed_is_told_and_the_rest_goes_on(tmp_path, monkeypatch):
    for name in ("a", "b", "skipped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("")
    os.mkfifo(tmp_path / "c")
    (tmp_path / "d").symlink_to(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "a":  # chmod does not stop root
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {str(path.relative_to(tmp_path)): reason for path, reason in files_below(tmp_path, frozenset({"skipped"}))}
    assert found == {
        "a": "a folder that cannot be listed: Permission denied",
        "b/x": None,
        "c": "a pipe",
        "d": "a link, which is not followed",
    }


def test_folders_in_folders_in_folders_end(tmp_path):
    here, depth = os.getcwd(), 1500
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        assert list(files_below(tmp_path)) == []
    finally:
        for _ in range(depth):  # pytest cannot remove them
            os.chdir("..")
            os.rmdir("d")
        os.chdir(here)


def changed(data, draw):
    """Return bytes with a few of them changed, left out or said twice."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        place, how = draw.randrange(len(data)), draw.random()
        if how < 0.6:
            data[place] = draw.randrange(256)
        elif how < 0.8:
            del data[place : place + draw.randrange(1, 9)]
        else:
            data[place:place] = bytes(data[draw.randrange(len(data)) :][: draw.randrange(20)])
    return bytes(data)


def test_whatever_is_changed_in_a_file_it_is_read_or_not_inspected(tmp_path):
    things = {
        "objects": np.array(["x", None], dtype=object),
        "frame": pd.DataFrame(
            {"u": ["a", "b"], "c": pd.Categorical(["p", "q"]), "d": pd.to_datetime(["2020", "2021"])}
        ),
        "tensor": torch.ones(2, 3),
        "records": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    }
    seeds = [pickle.dumps(things, protocol) for protocol in range(6)]
    seeds += [hostile.torch_file(things), hostile.dumped(things), hostile.legacy_file(things)]
    draw, path, read = random.Random(7), tmp_path / "x", 0
    for number in range(1500):
        path.write_bytes(changed(seeds[number % len(seeds)], draw))
        try:
            for thing in stand_ins.walk(read_content(path)):
                read += 1
                for look in (as_dict, as_list, as_array, as_table):
                    with contextlib.suppress(NotInspected):
                        look(thing)
        except NotInspected:
            pass
    assert read > 1500
