"""Rows that change in place on disk: a crash at any step leaves all of the change or none."""

import os

import numpy as np
import pytest

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage import store, tables
from recbole_unlearn.lineage.tables import TableFolder

OLD = {"user": np.arange(12.0).reshape(6, 2), "item": np.arange(8, dtype=np.float32).reshape(4, 2)}
CHANGES = {
    "user": (np.array([1, 4]), np.array([[-1.0, -2.0], [-3.0, -4.0]])),
    "item": (np.array([3]), np.array([[9.0, 8.0]], dtype=np.float32)),
}


def changed():
    new = {name: array.copy() for name, array in OLD.items()}
    for name, (ids, rows) in CHANGES.items():
        new[name][ids] = rows
    return new


def holds(folder, expected):
    found = TableFolder(folder).arrays()
    return all(np.array_equal(found[name], expected[name]) for name in expected)


def test_rows_change_and_nothing_else(tmp_path):
    TableFolder.create(tmp_path, OLD).write_rows(CHANGES)
    assert holds(tmp_path, changed())
    assert sorted(os.listdir(tmp_path)) == ["item.npy", "user.npy"]


class Crash(Exception):
    pass


def crash(*_, **__):
    raise Crash


def crash_in_the_journal(patch):
    patch.setattr(store.os, "replace", crash)


def crash_before_the_tables(patch):
    patch.setattr(TableFolder, "_apply", crash)


def crash_between_the_tables(patch):
    apply, count = np.load, iter(range(100))
    patch.setattr(
        tables.np, "load", lambda *a, **k: crash() if k.get("mmap_mode") == "r+" and next(count) else apply(*a, **k)
    )


def crash_within_a_table(patch):
    def half(self, changes):
        name, (ids, rows) = next(iter(changes.items()))
        table = np.load(self._path(name), mmap_mode="r+")
        table[ids[:1]] = rows[:1]
        table.flush()
        crash()

    patch.setattr(TableFolder, "_apply", half)


def crash_before_the_journal_goes(patch):
    patch.setattr(TableFolder, "_forget_journal", crash)


@pytest.mark.parametrize(
    ("step", "after"),
    [
        (crash_in_the_journal, OLD),
        (crash_before_the_tables, changed()),
        (crash_between_the_tables, changed()),
        (crash_within_a_table, changed()),
        (crash_before_the_journal_goes, changed()),
    ],
)
def test_a_crash_leaves_all_or_nothing(tmp_path, monkeypatch, step, after):
    folder = TableFolder.create(tmp_path, OLD)
    with monkeypatch.context() as patch:
        step(patch)
        with pytest.raises(Crash):
            folder.write_rows(CHANGES)
    assert holds(tmp_path, after)
    assert sorted(os.listdir(tmp_path)) == ["item.npy", "user.npy"]
    assert holds(tmp_path, after)  # opening it again changes nothing


def test_a_model_writes_into_its_own_copy(tmp_path):
    folder = TableFolder.create(tmp_path, OLD)
    folder.arrays()["user"][0] = 99
    assert holds(tmp_path, OLD)


@pytest.mark.parametrize(
    "wrong",
    [
        {"other": (np.array([0]), np.zeros((1, 2)))},
        {"user": (np.array([6]), np.zeros((1, 2)))},
        {"user": (np.array([-1]), np.zeros((1, 2)))},
        {"user": (np.array([1]), np.zeros((1, 3)))},
        {"user": (np.array([1, 2]), np.zeros((1, 2)))},
    ],
)
def test_what_does_not_fit_is_refused_whole(tmp_path, wrong):
    folder = TableFolder.create(tmp_path, OLD)
    with pytest.raises(ConfigError, match=r"no table|do not fit"):
        folder.write_rows({"item": CHANGES["item"], **wrong})
    assert holds(tmp_path, OLD)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="holds no tables"):
        TableFolder(tmp_path)
