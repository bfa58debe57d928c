"""One line of json for each method of a report: what the leaderboard is made of."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recbole_unlearn.evaluator.verdict import oracle_of
from recbole_unlearn.exceptions import InputError
from recbole_unlearn.lineage.store import write_atomically

LOOKS = ("strong", "refit")
_KEY = ("dataset", "model", "request", "keys", "method", "seed", "commit")
_NAMED = ("model", "dataset", "seed", "methods")  # keys that a line tells by itself
_NUMBERS = ("auc", "excess", "low", "high")


def entries_of(report: Mapping[str, Any], command: str = "") -> list[dict[str, Any]]:
    """Return a line for each method of a report, the original model included.

    Args:
        report: The content of ``report.json``.
        command: What repeats the run; none: what the report says.

    Returns:
        For each method its ``dataset``, ``model``, ``request``, ``keys`` (what else was given), ``method``, ``seed``; by look
        (``strong``, ``refit``) the ``auc``, and its ``excess`` over Retrain's with ``low`` and ``high``; ``kept``, NDCG@10 of
        retained users as a share of Retrain's; ``withdrawn``, that of withdrawn users as a share of popularity's;
        ``seconds``, ``faster`` than Retrain; ``commit``, ``machine``, ``command``. What was not measured is None.

    Raises:
        InputError: It is no report, or one without Retrain.
    """
    try:
        methods, headline = report["methods"], report["headline"]
        popular = report["references"]["popularity"]["withdrawn"].get(headline)
        run, setting = report.get("run") or {}, report["environment"]
        shared = {
            "dataset": str(report["dataset"]),
            "model": str(report["model"]),
            "request": _request(report["request"]),
            "keys": "" if command else _keys(str(run.get("command", ""))),
            "seed": int(report["seed"]),
            "commit": str(run.get("commit") or report.get("commit") or ""),
            "machine": f"{setting['cpus']} cores, {setting['threads']} threads, {setting['device']}",
            "command": command or str(run.get("command", "")),
        }
        if "Retrain" not in methods:
            raise InputError("the report has no Retrain, which every figure is compared with; add it to the methods")
        return [{**shared, **_figures(name, methods, headline, popular)} for name in methods]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"this is no report of a comparison ({error!r}); give a report.json of run_unlearn") from error


def _request(request: Mapping[str, Any]) -> str:
    if not request.get("sample"):
        return f"{request['n_rows']} rows of {request['kind']} by name"
    return f"{request['sample']}@{request['alpha']:g} {request['kind']}"


def _keys(command: str) -> str:
    """Return the keys of a command that change what is run, apart from those that a line tells.

    >>> _keys("run_unlearn.py --model=NeuMF --seed=3 --epochs=50")
    '--epochs=50'
    """
    words = shlex.split(command)[1:]
    return shlex.join(word for word in words if word.lstrip("-").split("=")[0] not in _NAMED)


def _figures(name: str, methods: Mapping[str, Any], headline: str, popular: float | None) -> dict[str, Any]:
    result, retrain = methods[name], methods["Retrain"]
    looks = {}
    for look in LOOKS:
        excess = (result.get("remembers") or {}).get(look) or {}
        asked = oracle_of(result, look)
        if (auc := asked.get("auc")) is not None:
            looks[look] = {"auc": auc, **{key: excess.get(key) for key in ("excess", "low", "high")}}
            if asked.get("tells") is False:
                looks[look]["tells"] = False  # its figure has no meaning here
    utility, base = result["utility"], retrain["utility"]["retained"].get(headline)
    seconds = result.get("seconds")
    return {
        "method": str(name),
        "looks": looks,
        "kept": _share(utility["retained"].get(headline), base),
        "withdrawn": _share((utility.get("withdrawn") or {}).get(headline), popular),
        "seconds": seconds,
        "faster": _share(retrain.get("seconds"), seconds),
    }


def _share(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def read_report(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a report's file; see ``entries_of``.

    Raises:
        InputError: There is no such file, it is no json, or no report.
    """
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as json ({error}); give a report.json of run_unlearn") from error
    try:
        return checked(entries_of(report if isinstance(report, dict) else {}))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a leaderboard's file; none if there is no file.

    Raises:
        InputError: A line is none of a leaderboard; the message names it.
    """
    if not Path(path).exists():
        return []
    found = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            found += checked([json.loads(line)])
        except (ValueError, RecursionError, InputError) as error:
            raise InputError(f"{path}, line {number}: {error}; mend it or delete the line") from error
    return found


def checked(entries: list[Any]) -> list[dict[str, Any]]:
    """Return lines whose texts are texts and whose numbers are finite numbers.

    Raises:
        InputError: One is not.
    """
    for entry in entries:
        try:
            texts = [entry[key] for key in _KEY if key != "seed"] + [entry["machine"], entry["command"]]
            numbers = [entry[key] for key in ("kept", "withdrawn", "seconds", "faster")] + [entry["seed"]]
            numbers += [told.get(key) for told in entry["looks"].values() for key in _NUMBERS]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"it is no line of a leaderboard ({error!r})") from error
        if not all(isinstance(text, str) and text.isprintable() for text in texts) or not all(map(_is_number, numbers)):
            raise InputError("it is no line of a leaderboard: a text or a number is of another type, or not printable")
    return entries


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e100 < value < 1e100  # nor NaN


def joined(old: Iterable[dict[str, Any]], new: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return both, of the same method, data, request, keys, seed and commit the newer line alone; what is new comes last.

    >>> line = dict(dataset="d", model="m", request="r", keys="", method="a", seed=1, commit="c")
    >>> [one["seconds"] for one in joined([{**line, "seconds": 1}], [{**line, "seconds": 2}])]
    [2]
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in [*old, *new]:
        key = tuple(entry[name] for name in _KEY)
        found.pop(key, None)
        found[key] = entry
    return list(found.values())


def save_lines(entries: Iterable[Mapping[str, Any]], path: str | Path) -> None:
    """Write lines of json, all or none."""
    text = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries)
    write_atomically(path, lambda file: file.write(text.encode()), mode=0o644)
