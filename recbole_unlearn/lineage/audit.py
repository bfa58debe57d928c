"""The audit: what is left of withdrawn rows in the files of a folder, and its purge."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.lineage.traces import Trace, Wanted, named, read_table, read_text, traces_of

_KEYS = {
    "withdraw",
    "purge",
    "data_path",
    "ledger_dir",
    "ledger_key",
    "USER_ID_FIELD",
    "ITEM_ID_FIELD",
    "trust_checkpoint",
}

_FOREIGN = (".git", ".hg", ".svn", "site-packages")


def audit(folders: Iterable[Path], wanted: Wanted) -> Iterator[Trace]:
    """Yield every trace of a request in the files below some folders, or in some files; links are not followed."""
    seen = set()
    for folder in folders:
        files = [folder] if folder.is_file() else sorted(_files(folder))
        for path in files:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                yield from traces_of(path, wanted)
            except OSError as error:
                yield Trace(path, "file", f"it cannot be read: {error}", "look")


def purge(trace: Trace, wanted: Wanted) -> str:
    """Rewrite or delete what a trace names and return what was done."""
    path = trace.path
    if not path.exists():
        return f"{path}: gone already"
    if trace.remedy == "look":
        return f"{path}: left alone, since it could not be read"
    if trace.remedy == "check":
        return f"{path}: left alone, since it is no log whose lines can go; look for yourself"
    if trace.remedy == "delete":
        path.unlink()
        return f"{path}: deleted"
    if trace.kind in ("optimizer moments", "graph or cached embeddings"):
        _strip_checkpoint(path)
        return f"{path}: rewritten without optimizer state and caches"
    text = read_text(path)
    assert text is not None
    kept = _kept_lines(text, wanted)
    lines = text.splitlines(keepends=True)
    if path.suffix == ".gz" or (len(kept) <= 1 and read_table(text, wanted) is not None):
        path.unlink()
        return f"{path}: deleted, no row would have been left"
    write_atomically(path, lambda file: file.write("".join(kept).encode()))
    return f"{path}: rewritten without {len(lines) - len(kept)} lines"


def run_audit(folder: str, values: Mapping[str, Any], out: IO[str]) -> int:
    """Run ``--audit``: list the traces, purge them if asked, and return 1 if any was found."""
    unknown = set(values) - _KEYS
    if unknown:
        raise ConfigError(f"--audit takes no --{sorted(unknown)[0]}; allowed: {', '.join(sorted(_KEYS))}")
    if "withdraw" not in values:
        raise ConfigError("--audit needs --withdraw=FILE, the request whose traces it looks for")
    if not Path(folder).exists():
        raise ConfigError(f"--audit: folder {folder!r} does not exist")
    fields = (str(values.get("USER_ID_FIELD", "user_id")), str(values.get("ITEM_ID_FIELD", "item_id")))
    request_file = Path(str(values["withdraw"]))
    request = WithdrawalRequest.from_file(request_file, *fields)
    if request.sample:
        raise RequestError("a drawn request names nobody; give the request.json of the run, or name the tokens")
    wanted = Wanted(request, *fields, knows=_knowledge(values, request))
    found = list(audit([Path(folder), request_file], wanted))
    traces = [trace for trace in found if trace.remedy != "look"]
    for trace in found:
        out.write(f"{trace}\n")
    out.write(f"{len(traces)} traces in {len({trace.path for trace in traces})} files")
    out.write(f", {len(found) - len(traces)} files not inspected\n" if len(traces) < len(found) else "\n")
    if str(values.get("purge", "False")).lower() == "true":
        for trace in sorted(traces, key=lambda trace: trace.remedy):
            out.write(purge(trace, wanted) + "\n")
    return 1 if traces else 0


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, but for those of version control and of Python environments."""
    for name, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one not in _FOREIGN and not Path(name, one, "pyvenv.cfg").exists()]
        yield from (Path(name, file) for file in files if not Path(name, file).is_symlink())


def _knowledge(values: Mapping[str, Any], request: WithdrawalRequest) -> Any:
    """Return the function that tells whether a model with this place in the ledger knows nothing of the request."""
    cache: dict[tuple[Path, str], float] = {}

    def first_clean(folder: Path, dataset: str) -> float:
        ledger = Ledger.find(folder, dataset, values.get("ledger_key"))
        if ledger is None:
            return float("inf")
        key, stones = ledger.key, ledger.tombstones()
        ledger.close()
        never = float("inf")
        rows = [stones["user"].get(key.user(user), never) for user in request.user_tokens]
        rows += [stones["item"].get(key.item(item), never) for item in request.item_tokens]
        for user, item in request.pair_tokens:
            whole = (stones["user"].get(key.user(user), never), stones["item"].get(key.item(item), never))
            rows.append(min(stones["pair"].get(key.pair(user, item), never), *whole))
        return max(rows)

    def knows(settings: Mapping[str, Any], anchor: Mapping[str, Any]) -> bool:
        dataset = str(settings.get("dataset", ""))
        for folder in _ledger_folders(values, settings):
            place = (folder, dataset)
            if place not in cache:
                try:
                    cache[place] = first_clean(folder, dataset)
                except LedgerError:
                    cache[place] = float("inf")
            if isinstance(anchor.get("count"), int) and anchor["count"] >= cache[place]:
                return True
        return False

    return knows


def _ledger_folders(values: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Path]:
    """Return where the ledger of a model's data set may be: where it is said, beside the data, or where it once stood."""
    if values.get("ledger_dir"):
        return [Path(str(values["ledger_dir"]))]
    if values.get("data_path"):
        return [Path(str(values["data_path"]), str(settings.get("dataset")), "ledger")]
    return [Path(str(settings.get("data_path", "")), "ledger"), Path("ledger")]


def _strip_checkpoint(path: Path) -> None:
    """Write a checkpoint of ours again without optimizer state and caches."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    content.pop("optimizer", None)
    content["other_parameter"] = {}
    write_atomically(path, lambda file: torch.save(content, file))


def _kept_lines(text: str, wanted: Wanted) -> list[str]:
    lines = text.splitlines(keepends=True)
    table = read_table(text, wanted)
    if table is None:
        return [line for line in lines if not wanted.line(line)]
    header, rows = table
    return lines[:1] + [line for line, row in zip(lines[1:], rows, strict=True) if not named(header, row, wanted)]
