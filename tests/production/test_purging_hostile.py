"""Hostile files go through a purge as they go through an audit: nothing of them runs, none of them changes or ends it."""

from tests.production import hostile
from tests.production.purged import on_disk, purge, withdraw, write


def test_hostile_files_stay_and_the_purge_goes_on(tmp_path, monkeypatch, capsys):
    withdraw(tmp_path / "data")
    folder = tmp_path / "data" / "shop" / "files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    hostile.write_all(folder, hostile.SLOW)
    before = write(folder / "last", {"zz.csv": "user_id,n\nanna@example.org,1\n22,2\n"})
    paths = {path: path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    code, report = purge(folder, data=tmp_path / "data")
    assert code == 1
    assert report["finished"]
    assert on_disk(folder / "last") == {name: b"user_id,n\n22,2\n" for name in before}
    changed = {path.name for path, size in paths.items() if not path.exists() or path.lstat().st_size != size}
    assert changed == {"zz.csv"}
    assert not list(tmp_path.rglob(hostile.CANARY))
    assert not list(folder.rglob("*.purging"))
