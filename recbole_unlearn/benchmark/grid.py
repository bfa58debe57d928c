"""Reads a benchmark's yaml file: its cells, and the settings and code that their figures depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import ConfigError, suggest
from recbole_unlearn.lineage.lines import digest
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.check import CHOICES
from recbole_unlearn.settings.revision import git_revision, source_digest
from recbole_unlearn.settings.yaml_files import read_yaml

_KEYS: dict[str, Any] = {
    "results": None,
    "measure": "methods",
    "seeds": 1,
    "datasets": ["ml-100k"],
    "models": ["NeuMF"],
    "requests": ["rand@5"],
    "methods": "all",
    "config": {},
    "seconds": {},
    "jobs": None,
}


def _is_names(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(name, str) for name in given)


def _is_seeds(given: Any) -> bool:
    seeds = given if isinstance(given, list) and given else [given]
    return all(type(seed) is int and seed > 0 for seed in seeds)


# What each key may hold, as a test and in words.
_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "measure": (lambda given: given in ("methods", "cka"), "methods, cka"),
    "seeds": (_is_seeds, "how many (3), or a list ([1, 2, 3])"),
    "datasets": (_is_names, "a list of names, [ml-100k]"),
    "models": (_is_names, "a list of names, [NeuMF]"),
    "requests": (_is_names, "a list of requests, [rand@5]"),
    "methods": (lambda given: given == "all" or _is_names(given), "all, or a list of names, [Retrain, SCIF]"),
    "config": (lambda given: isinstance(given, dict), "`key: value` lines"),
    "seconds": (
        lambda given: isinstance(given, dict) and all(isinstance(of_model, dict) for of_model in given.values()),
        "`data set: {model: seconds}` lines",
    ),
    "results": (lambda given: given is None or isinstance(given, str), "the path of a file"),
}
_HERE = {"parallel_backend": "loky", "parallel_scheduler": None}
_OF_THIS_MACHINE = ("data_path", "checkpoint_dir", "output_dir", "gpu_id", "show_progress")


class Cell(NamedTuple):
    """The data set, model, request and seed of one json line; the line holds them under ``cell``."""

    dataset: str
    model: str
    seed: int
    request: str


@dataclass(frozen=True)
class Grid:
    """A benchmark's yaml file.

    Args:
        results: The file of json lines.
        measure: ``methods`` (the three principles of every method) or ``cka`` (Figure 3).
        cells: All cells, ordered by seed.
        methods: Names of the methods, Retrain first.
        config: Keys for Config.
        seconds: First estimate of the seconds of a cell, by data set and model.
        jobs: Processes, each with one thread; none: as many as there are cores and memory for.
        where: ``parallel_backend`` and ``parallel_scheduler``: where the cells run. A cell itself uses its own machine alone.
    """

    results: Path
    measure: Literal["methods", "cka"]
    cells: list[Cell]
    methods: list[str]
    config: dict[str, Any]
    seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    jobs: int | None = None
    where: Mapping[str, Any] = field(default_factory=lambda: dict(_HERE))

    @classmethod
    def read(cls, path: str | Path, given: Mapping[str, Any]) -> Grid:
        """Read a yaml file; ``given`` are keys from the command line, which win.

        Raises:
            ConfigError: The file is missing or malformed.
        """
        content = _read(Path(path))
        config = {**content["config"], **given}
        seeds = content["seeds"]
        seeds = range(1, seeds + 1) if isinstance(seeds, int) else seeds
        for request in content["requests"]:
            try:
                read_request(request, 1)
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
        cells = [
            Cell(dataset, model, seed, request)
            for seed in seeds
            for model in content["models"]
            for dataset in content["datasets"]
            for request in content["requests"]
        ]
        methods = presets.names("method") if content["methods"] == "all" else content["methods"]
        if "methods" in config:
            methods = [name.strip() for name in str(config.pop("methods")).split(",")]
        _refuse_unknown(methods, presets.names("method"), "method", path)
        methods = sorted(methods, key=lambda name: (name != "Retrain", methods.index(name)))
        results = Path(path).parent / (content["results"] or f"results/{Path(path).stem}.jsonl")
        jobs = processes(f"{path}: jobs", content["jobs"])
        where = {key: config.pop(key, default) for key, default in _HERE.items()}
        backend, allowed = where["parallel_backend"], [name for name in CHOICES["parallel_backend"] if name]
        if backend not in allowed:
            raise ConfigError(f"{path}: parallel_backend is {backend!r}; allowed: {', '.join(allowed)}")
        return cls(results.absolute(), content["measure"], cells, methods, config, content["seconds"], jobs, where)

    @property
    def provenance(self) -> dict[str, Any]:
        """Digests of what the figures depend on: the configuration and the code; with the commit for people."""
        config = {key: value for key, value in self.config.items() if key not in _OF_THIS_MACHINE}
        return {
            "config": digest([self.measure, self.methods, config]),
            "source": source_digest(),
            "commit": git_revision(),
        }


def chosen(cells: Sequence[Cell], only: str) -> list[Cell]:
    """Return the cells that have one of the given names in every column that is named.

    >>> cells = [Cell("a", "NeuMF", 1, "rand@5"), Cell("a", "BPR", 1, "rand@5"), Cell("b", "BPR", 1, "rand@5")]
    >>> [(cell.dataset, cell.model) for cell in chosen(cells, "BPR,b")]
    [('b', 'BPR')]
    """
    columns = [{str(value): value for value in column} for column in zip(*cells, strict=True)]
    columns[2] = {f"seed={value}": value for value in columns[2].values()}
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [name for column in columns for name in column]
    _refuse_unknown(names, known, "name", "--benchmark_only")
    allowed = [{column[name] for name in names if name in column} for column in columns]
    return [cell for cell in cells if all(not some or value in some for value, some in zip(cell, allowed, strict=True))]


def processes(where: str, given: int | str | None) -> int | None:
    """Return a number of processes, if one is given; raises ConfigError for an invalid one."""
    if given is not None and not (str(given).isdigit() and int(given) > 0):
        raise ConfigError(f"{where} is {given!r}; allowed: 1 or more processes, each with one thread")
    return None if given is None else int(given)


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "benchmark")
    _refuse_unknown(content, _KEYS, "key", path)
    content = {**_KEYS, **content}
    for key, (fits, allowed) in _FORMS.items():
        if not fits(content[key]):
            raise ConfigError(f"{path}: {key} is {content[key]!r}; allowed: {allowed}")
    return content


def read_request(text: str, seed: int) -> WithdrawalRequest:
    """Return the draw that ``rand@5``, ``core@5``, ``edge@5`` or ``interactions@5`` names.

    >>> read_request("rand@2.5", 1).sample
    Sample(kind='rand', alpha=2.5, seed=1)
    """
    kind, _, alpha = text.partition("@")
    try:
        return WithdrawalRequest.random(float(alpha), seed, kind)
    except ValueError as error:
        raise ConfigError(f"request {text!r} is not of the form rand@5: {error}") from error


def _refuse_unknown(names: Any, known: Any, what: str, where: str | Path) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{where}: {what} {name!r} is not known;{suggest(str(name), known)} allowed: {', '.join(known)}"
            )
