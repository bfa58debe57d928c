"""An audit finds what is left, or lists what it could not look into; what it says and how it ends can be relied on."""

import io
import json
import os
import shutil
import socket
import stat
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import Config
from recbole_unlearn.cli import main
from recbole_unlearn.data.ledgers import open_ledger
from recbole_unlearn.lineage.chain import digest_of
from recbole_unlearn.lineage.commit import Withdrawn, commit
from recbole_unlearn.lineage.digest import keyed_weights, weights_digest
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.sealing import RECORD
from recbole_unlearn.lineage.splits import keep_split, short
from recbole_unlearn.production import asked, audit
from recbole_unlearn.production.asked import asked_of
from recbole_unlearn.production.search import folders_of, search
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED
from tests.production import hostile
from tests.production.planted import HEADERLESS_OURS, KEY, PLANTED, as_bytes, clear, hashed

USERS, ITEMS = 30, 12


def tables(seed=0, users=USERS):
    torch.manual_seed(seed)
    return {"user_embedding.weight": torch.randn(users, 4), "item_embedding.weight": torch.randn(ITEMS, 4)}


CLEAN, OLD = tables(1), tables(2)


@pytest.fixture
def ledger(tmp_path):
    """Return the ledger of a data set `shop` from which u3 and the row (u5, i4) have left, with one model and a split."""
    with closing(Ledger.open("dataset/shop/ledger", "shop")) as made:
        key = made.key
        hashes = {"user": [key.user("u3")], "pair": [key.user("u5") + key.item("i4")]}
        hashes["row"] = [key.pair("u3", "i1"), key.pair("u3", "i2")]
        entry = {"time": "now", "dataset": "shop", "model": str(tmp_path / "m.pth"), "method": "SCIF", "scope": "all"}
        entry |= {"users": 1, "items": 0, "pairs": "1", "rows": "2 to 3", "model_before": keyed_weights(key, "x")}
        entry["model_after"] = keyed_weights(key, weights_digest(CLEAN))
        commit(
            made,
            tmp_path / "m.pth",
            [Withdrawn(entry, hashes)],
            lambda file, anchor: torch.save(saved(CLEAN, anchor), file),
        )
        names = {"user_id": USERS - 1, "item_id": ITEMS - 1}
        tokens = {field: [key.hash(field, str(n).encode()) for n in range(count)] for field, count in names.items()}
        records = np.zeros(2, dtype=RECORD)
        records["item"], records["position"] = short(tokens["item_id"][:2]), np.arange(2)
        with made.transaction():
            keep_split(made, "s", tokens, [(tokens["user_id"][0], records)])
        yield made


def saved(state, anchor=None, **more):
    lineage = {"ledger": anchor or {"count": 0, "head": "0" * 64}, "weights": weights_digest(state)}
    return {"config": {"model": "BPR", "dataset": "shop"}, "state_dict": state, "lineage": lineage, **more}


def audited(capsys, *arguments, folder="."):
    """Return the exit code of an audit, its lines by their group, and its other lines."""
    code = main([f"--audit={folder}", *arguments])
    groups, others, group = {MUST_FIX: [], CHECK: [], NOT_INSPECTED: []}, [], None
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("  "):
            groups[group].append(line.strip())
        else:
            group = line.split(" (")[0]
            others.append(line)
    return code, groups, others


def names(lines):
    return [line.split(": ")[0] for line in lines]


CSV = "user_id,item_id\nu3,i1\nu4,i1\n"


def test_the_ledger_suffices_without_a_request(ledger, tmp_path, capsys):
    command = ["--dataset=shop"]
    assert audited(capsys, *command)[0] == 0
    Path("export.csv").write_text(CSV)
    Path("pairs.csv").write_text("user_id,item_id\nu5,i4\nu5,i5\n")
    Path("others.csv").write_text("user_id,item_id\nu4,i4\n")
    before = {path: path.stat().st_mtime_ns for path in Path("dataset").rglob("*")}
    code, found, others = audited(capsys, *command)
    assert code == 1
    assert found[MUST_FIX] == [
        "export.csv: table: 1 row of withdrawn users; rewrite it without these rows",
        "pairs.csv: table: 1 row of withdrawn interactions; rewrite it without these rows",
    ]
    assert others[-1].startswith("2 MUST FIX, 0 CHECK, 0 NOT INSPECTED, in ")
    assert {path: path.stat().st_mtime_ns for path in Path("dataset").rglob("*")} == before
    Path("picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    for name in ("export.csv", "pairs.csv"):
        Path(name).unlink()
    code, found, _ = audited(capsys, *command)
    assert (code, names(found[NOT_INSPECTED])) == (3, ["picture.png"])


def test_those_who_came_back_are_not_looked_for_but_their_old_rows_are(ledger, capsys):
    users = [ledger.key.user("u3")]
    entry = {"time": "now", "dataset": "shop", "readmitted": 1, "tombstones": digest_of(users)}
    (row,) = ledger.chain([entry])
    with ledger.transaction():
        ledger.append([row])
        ledger.add_tombstones(row.seq, {"readmitted": users})
    Path("new.csv").write_text("user_id,item_id\nu3,i9\n")
    Path("old.csv").write_text("user_id,item_id\nu3,i9\nu3,i2\n")
    _, found, _ = audited(capsys, "--dataset=shop")
    assert names(found[MUST_FIX]) == ["old.csv"]


MODELS = {
    "clean.pth": (saved(CLEAN), None),
    "bare.pth": (CLEAN, None),
    "wrapped.pth": ({"model": CLEAN, "epoch": 3}, None),
    "rolled back.pth": (saved(OLD, {"count": 1, "head": "x"}), MUST_FIX),
    "false count.pth": (saved(OLD, {"count": 99, "head": "x"}), MUST_FIX),
    "bare old.pth": (OLD, MUST_FIX),
    "wrapped old.pth": ({"net": {"model": OLD}}, MUST_FIX),
    "renamed.pth": ({"a": torch.zeros(USERS, 3)}, MUST_FIX),
    "joint table.pth": ({"a": torch.zeros(USERS + ITEMS, 3)}, MUST_FIX),
    "optimizer.pth": ({"state": {0: {"exp_avg": torch.zeros(USERS, 4)}}, "param_groups": []}, MUST_FIX),
    "clean with moments.pth": (
        saved(CLEAN, optimizer={"state": {0: {"exp_avg": torch.zeros(USERS, 4)}}, "param_groups": []}),
        MUST_FIX,
    ),
    "shard.pth": ({"digest": "x", "state": OLD, "seconds": 1.0}, MUST_FIX),
    "other.pth": ({"config": {"dataset": "other"}, "state_dict": tables(3, users=77)}, None),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_must_prove_itself_by_the_digest_of_its_weights(ledger, name, capsys):
    content, group = MODELS[name]
    Path("found").mkdir()
    torch.save(content, f"found/{name}")
    code, found, _ = audited(capsys, "--dataset=shop", folder="found")
    assert code == (0 if group is None else 1), found
    assert [key for key, lines in found.items() if lines] == ([] if group is None else [group])


def test_a_model_that_was_trained_later_is_to_be_checked(ledger, capsys):
    torch.save(saved(OLD, ledger.anchor), "new.pth")
    _, found, _ = audited(capsys, "--dataset=shop")
    assert names(found[CHECK]) == ["new.pth"]
    assert not found[MUST_FIX]


def test_no_model_is_clean_of_somebody_whom_the_ledger_does_not_know(ledger, capsys):
    Path("r.csv").write_text("user_id\nu3\n")
    assert audited(capsys, "--dataset=shop", "--withdraw=r.csv")[0] == 0
    Path("r.csv").write_text("user_id\nu7\n")
    _, found, _ = audited(capsys, "--dataset=shop", "--withdraw=r.csv")
    assert names(found[MUST_FIX]) == ["m.pth"]


def test_the_request_is_told_apart_and_does_not_count(tmp_path, capsys):
    Path("r.csv").write_text("user_id\nu3\n")
    code, _, others = audited(capsys, "--withdraw=r.csv")
    assert code == 0
    assert "the request itself: r.csv; delete it when it is carried out" in others
    Path("copy.csv").write_text("user_id\nu3\n")
    code, found, _ = audited(capsys, f"--withdraw={tmp_path}/r.csv", folder=f"{tmp_path},{tmp_path}/copy.csv")
    assert code == 1
    assert names(found[MUST_FIX]) == [f"{tmp_path}/copy.csv"]


def test_columns_and_encoding_can_be_named(capsys):
    Path("r.csv").write_text("user_id,item_id\nu3,i4\n")
    Path("a.csv").write_text("n,ware,kunde\n1,i4,u3\n")
    Path("b.csv").write_bytes("user_id,ort\nюзер3,x\n".encode("cp866"))
    assert audited(capsys, "--withdraw=r.csv", folder="a.csv")[1][MUST_FIX] == []
    code, found, _ = audited(capsys, "--withdraw=r.csv", "--audit_columns=kunde,item:ware", folder="a.csv")
    assert (code, names(found[MUST_FIX])) == (1, ["a.csv"])
    Path("e.csv").write_text("user_id\nюзер3\n")
    code, found, _ = audited(capsys, "--withdraw=e.csv", folder="b.csv")
    assert (code, names(found[NOT_INSPECTED])) == (3, ["b.csv"])
    code, found, _ = audited(capsys, "--withdraw=e.csv", "--encoding=cp866", folder="b.csv")
    assert (code, names(found[MUST_FIX])) == (1, ["b.csv"])


def test_links_pipes_and_names(tmp_path, capsys):
    Path("in").mkdir()
    Path("outside.csv").write_text(CSV)
    Path("r.csv").write_text("user_id\nu3\n")
    Path("in/ok.txt").write_text("nothing\n")
    Path("in/inside").symlink_to("ok.txt")
    Path("in/outside").symlink_to(tmp_path / "outside.csv")
    Path("in/nowhere").symlink_to("nothing")
    Path("in/.git").mkdir()
    Path("in/.git/kept.csv").write_text(CSV)
    Path("in/hidden").symlink_to(".git/kept.csv")
    os.mkfifo("in/pipe.csv")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("in/s")
    Path("in/x\n0 MUST FIX\x1b[2J.csv").write_text(CSV)
    Path(os.fsdecode(b"in/caf\xe9.csv")).write_text(CSV)
    code, found, others = audited(capsys, "--withdraw=r.csv", folder="in")
    assert code == 1
    assert names(found[MUST_FIX]) == ["in/caf\\udce9.csv", "in/x\\n0 MUST FIX\\x1b[2J.csv"]
    assert {line.split(": ")[0]: line.split(": ")[2].split(";")[0] for line in found[NOT_INSPECTED]} == {
        "in/outside": "its target is outside of the folders that are searched",
        "in/hidden": "its target is outside of the folders that are searched",
        "in/nowhere": "its target does not exist",
        "in/pipe.csv": "a pipe",
        "in/s": "a socket",
    }
    assert "not entered: in/.git" in others


def test_what_the_operating_system_shows_is_listed(capsys):
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    Path("r.csv").write_text("user_id\nu3\n")
    code, found, _ = audited(capsys, "--withdraw=r.csv", folder="/proc/self,/proc")
    assert (code, names(found[NOT_INSPECTED])) == (3, ["/proc"])
    code, found, _ = audited(capsys, "--withdraw=r.csv", folder="/proc/self")
    assert (code, names(found[NOT_INSPECTED])) == (3, ["/proc/self"])


def test_version_control_and_environments_are_not_entered_but_told(capsys):
    Path("r.csv").write_text("user_id\nu3\n")
    for folder in (".git", "env", "lib/site-packages", "a/__pycache__", "mine"):
        Path("all", folder).mkdir(parents=True)
        Path("all", folder, "some.csv").write_text(CSV)
    Path("all/env/pyvenv.cfg").write_text("")
    _, found, others = audited(capsys, "--withdraw=r.csv", folder="all")
    assert names(found[MUST_FIX]) == ["all/mine/some.csv"]
    told = next(line for line in others if line.startswith("not entered: "))
    assert sorted(told.removeprefix("not entered: ").split(", ")) == [
        "all/.git",
        "all/a/__pycache__",
        "all/env",
        "all/lib/site-packages",
    ]
    assert audited(capsys, "--withdraw=r.csv", folder="all/env")[0] == 1  # who names it wants it


@pytest.mark.slow  # test_purging_hostile.py searches the same files, test_hostile.py looks at each line's reason
def test_one_bad_file_is_one_line(capsys):
    Path("in").mkdir()
    Path("r.csv").write_text("user_id\nu3\n")
    for path in hostile.write_all(Path("in"), hostile.SLOW):
        assert path.is_symlink() or path.exists()
    Path("in/zz last.csv").write_text(CSV)
    Path("in/0 empty").write_text("")
    with open("in/sparse.csv", "wb") as file:
        file.write(b"user_id,n\nu4,1\n")
        file.truncate(1 << 40)
    code, found, _ = audited(capsys, "--withdraw=r.csv", folder="in")
    assert code == 1
    assert "in/zz last.csv" in names(found[MUST_FIX])
    assert "in/sparse.csv" in names(found[NOT_INSPECTED])
    lines = [line for group in found.values() for line in group]
    assert not [line for line in lines if "it broke" in line or "died" in line or "cannot be read (" in line]
    assert not list(Path().rglob(hostile.CANARY))


class Script(torch.nn.Module):
    """A module whose loading writes a file."""

    @torch.jit.export
    def __getstate__(self):
        return torch.ones(1), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        torch.save(state[0], "owned")
        self.training = state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("job", ["audit", "verify"])
def test_torchscript_does_not_run(ledger, job, tmp_path, capsys):
    torch.jit.script(Script()).save("m.pth")
    with zipfile.ZipFile("m.pth") as archive:
        assert any(name.endswith("constants.pkl") for name in archive.namelist())
    torch.jit.load("m.pth")
    assert os.path.exists("owned"), "the archive is harmless, so this test would show nothing"
    os.remove("owned")
    if job == "audit":
        _, found, _ = audited(capsys, "--dataset=shop")
        assert names(found[NOT_INSPECTED]) == ["m.pth"]
    else:
        assert main(["--verify=dataset/shop/ledger"]) == 1
    assert not os.path.exists("owned")


def test_the_report_tells_an_auditor_what_was_looked_for_and_names_nobody(ledger, capsys):
    os.umask(0)
    Path("export.csv").write_text(CSV)
    Path("r.csv").write_text("user_id\nsecret-token-7\n")
    command = ["--dataset=shop", "--withdraw=r.csv", "--report=audit.json"]
    assert audited(capsys, *command)[0] == 1
    text = Path("audit.json").read_text()
    told = json.loads(text)
    assert stat.S_IMODE(os.stat("audit.json").st_mode) == 0o600
    assert "secret-token" not in text
    assert "u3" not in text
    assert ledger.key.secret.hex() not in text
    assert told["looked_for"]["dataset"] == "shop"
    assert told["looked_for"]["by_hash"]["users"] == 1
    assert told["looked_for"]["in_clear"] == {"users": 1, "items": 0, "pairs": 0}
    assert {name: told["looked_for"]["ledger"][name] for name in ("count", "head")} == ledger.anchor
    assert told["exit_code"] == 1
    assert told["found"][MUST_FIX] == 2
    assert {trace["path"] for trace in told["traces"]} == {"export.csv", "m.pth"}
    assert told["files"] > 3
    Path("export.csv").unlink()
    assert (
        audited(capsys, "--dataset=shop", "--report=audit.json")[0] == 0
    )  # writes over its own, and does not find itself
    assert json.loads(Path("audit.json").read_text())["exit_code"] == 0
    for name, content in (
        ("mine.json", '{"report": "of somebody else"}'),
        ("list.json", "[1]"),
        ("bytes.json", "\x80"),
    ):
        Path(name).write_text(content)
        assert main(["--audit=.", "--dataset=shop", f"--report={name}"]) == 2
        assert Path(name).read_text() == content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audit=."], "say whom to look for"),
        (["--audit=nowhere", "--withdraw=r.csv"], "does not exist"),
        (["--audit=.,nowhere", "--withdraw=r.csv"], "does not exist"),
        (["--audit=", "--withdraw=r.csv"], "does not exist"),
        (["--audit=.", "--withdraw=none.csv"], "does not exist"),
        (["--audit=.", "--withdraw=drawn.json"], "names no token"),
        (["--audit=.", "--dataset=shop"], "there is no ledger of 'shop'"),
        (["--audit=.", "--dataset=../shop"], "cannot be part of a file name"),
        (["--audit=.", "--withdraw=r.csv", "--prune=True"], "takes no --prune"),
        (["--audit=.", "--withdraw=r.csv", "--encoding=klingon"], "no encoding of text"),
        (["--audit=.", "--withdraw=r.csv", "--encoding=hex"], "no encoding of text"),
        (["--audit=.", "--withdraw=r.csv", "--audit_columns=uid,"], "a column that is empty"),
        (["--audit=.", "--withdraw=r.csv", "--report=r.csv"], "is no report of an audit"),
        (["--audit=.", "--withdraw=r.csv", "--report=."], "is no report of an audit"),
        (["--audit=.", "--withdraw=r.csv", "--report=no/a.json"], "there is no folder"),
        (["--audit=.", "--verify=ledger"], "jobs of their own"),
        (["--verify=nowhere"], "no ledger in"),
    ],
)
def test_bad_commands(arguments, message, tmp_path, capsys):
    Path("r.csv").write_text("user_id\nu3\n")
    Path("drawn.json").write_text('{"sample": {"kind": "rand", "alpha": 5, "seed": 1}}')
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert sorted(os.listdir()) == ["drawn.json", "r.csv"]


def test_a_ledger_that_is_lost_or_a_key_that_does_not_fit_is_no_clean_audit(ledger, capsys):
    shutil.copytree("dataset", "copy")
    Path("copy/shop/ledger/shop.sqlite").unlink()
    assert main(["--audit=.", "--dataset=shop", "--data_path=copy"]) == 2
    assert "is gone" in capsys.readouterr().err
    os.chmod("dataset/shop/ledger/ledger.key", 0o644)
    assert main(["--audit=.", "--dataset=shop"]) == 2
    assert "can be read by others" in capsys.readouterr().err


def test_a_file_that_vanishes_or_grows_meanwhile_is_one_line(monkeypatch):
    for name in ("a.csv", "b.csv"):
        Path(name).write_text(CSV)
    walk = search.__globals__["files_below"]

    def vanishing(*arguments):
        yield from walk(*arguments)
        Path("a.csv").unlink()
        with Path("b.csv").open("a") as file:
            file.write("u3,i9\n")

    monkeypatch.setitem(search.__globals__, "files_below", vanishing)
    spec = asked_of({"withdraw": written("r.csv", "user_id\nu3\n")}).spec
    found = search([Path()], spec, [Path("r.csv")])
    assert [(trace.path, trace.group) for trace in found.traces] == [("a.csv", NOT_INSPECTED), ("b.csv", MUST_FIX)]
    assert "2 rows" in found.traces[1].what


def written(name, text):
    Path(name).write_text(text)
    return name


def test_folders_are_looked_at_once():
    for name in ("a/b", "c", "d,e"):
        Path(name).mkdir(parents=True)
    Path("link").symlink_to("c")
    assert folders_of("a/b,a,c,./c/,link,c") == [Path("a"), Path("c")]
    assert folders_of("d,e") == [Path("d,e")]


@pytest.mark.parametrize("how", [clear, hashed])
def test_everything_planted_is_found_or_listed_from_disk(how, tmp_path):
    for name, data in {**PLANTED, **({} if how is clear else HEADERLESS_OURS)}.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(data[0] if isinstance(data, tuple) else data))
    found = search([tmp_path / "in"], how().spec)
    groups = {}
    for trace in found.traces:
        groups.setdefault(os.path.relpath(trace.path, tmp_path / "in"), set()).add(trace.group)
    assert {name for name, (_, group) in PLANTED.items() if group not in groups.get(name, ())} == set()
    assert found.files >= len(PLANTED)


def test_the_key_of_the_planted_hashes_is_the_one_of_the_spec():
    assert hashed().spec.key == KEY.secret.hex()


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    Path("r.csv").write_text("user_id\nu3\n")
    shown = {}
    monkeypatch.setattr(audit, "search", lambda *args, **more: shown.update(more) or search(*args, **more))
    assert main(["--audit=.", "--withdraw=r.csv"]) == 0
    assert shown == {"progress": True}
    assert capsys.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(["--audit=.", "--withdraw=r.csv"]) == 0
    assert "Audit" in terminal.getvalue()


def test_an_output_that_is_no_utf_8_gets_every_line():
    Path("in").mkdir()
    Path("in/é→.csv").write_text(CSV)
    values = {"withdraw": written("r.csv", "user_id\nu3\n")}
    out = io.TextIOWrapper(io.BytesIO(), "cp1252")
    assert audit.run_audit("in", values, out) == 1
    out.seek(0)
    assert "in/é\\u2192.csv: table: 1 row" in out.read()


def test_a_report_goes_through_no_link_to_another_file(capsys):
    Path("in").mkdir()
    Path("mine.txt").write_text("mine")
    Path("audit.json").symlink_to("mine.txt")
    Path("r.csv").write_text("user_id\nu3\n")
    assert main(["--audit=in", "--withdraw=r.csv", "--report=audit.json"]) == 2
    assert Path("mine.txt").read_text() == "mine"


def test_the_ledger_of_recboles_ml_100k_is_where_a_withdrawal_wrote_it(tmp_path, monkeypatch, caplog):
    """RecBole takes ml-100k out of its package, whatever data_path says; its ledger lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    with closing(open_ledger(Config("NeuMF", "ml-100k", argv=()))) as ledger:
        assert ledger.path.parent == tmp_path / "ledger"
    with closing(asked._ledger({"dataset": "ml-100k"})) as found:
        assert found.path.resolve() == tmp_path / "ledger" / "ml-100k.sqlite"
    assert not caplog.records
