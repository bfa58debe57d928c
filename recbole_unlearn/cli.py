"""The entry point: ``python run_unlearn.py`` or ``recbole-unlearn``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recbole_unlearn.exceptions import ConfigError, InputError, UnlearnError, suggest
from recbole_unlearn.production.jobs import JOBS, run
from recbole_unlearn.settings import presets

_SHORT = {
    "alpha": "withdraw_alpha",
}
_LAUNCH = ("model", "dataset", "config_files", "explain", *sorted(JOBS))

_USAGE = """\
Train a RecBole model, withdraw users, items or interactions from it, and measure how well it forgot.

  python run_unlearn.py [--model=NeuMF] [--dataset=ml-100k] [--methods=Retrain,SCIF] [--alpha=5]
                        [--withdraw=FILE] [--config_files=a.yaml,b.yaml] [--output_dir=output] [--key=value ...]
  python run_unlearn.py --benchmark=benchmarks/grids/paper.yaml [--benchmark_jobs=1] [--benchmark_only=NeuMF,rand@5,seed=1]

  python run_unlearn.py --model_file=saved/MODEL.pth --withdraw=FILE [--methods=SCIF] [--trust_checkpoint=True]
  python run_unlearn.py --audit=FOLDER[,FOLDER] --dataset=NAME [--withdraw=FILE] [--report=audit.json]
  python run_unlearn.py --purge=FOLDER[,FOLDER] --dataset=NAME --dry_run=True|--yes=True [--report=purge.json]
  python run_unlearn.py --verify=LEDGER_DIR
  python run_unlearn.py --readmit=FILE --dataset=NAME [--data_path=dataset]
  python run_unlearn.py --undo=saved/MODEL.pth
  python run_unlearn.py --explain=SCIF

--model_file withdraws from a trained model, in the place of its file, and records it in the ledger. --audit finds what is
left on disk of all who withdrew from a data set, by the hashes of its ledger, or of those whom --withdraw=FILE names. Exit
code 0: nothing, and everything was inspected; 1: something to fix or to check; 3: nothing found, not all inspected; it also
takes --audit_columns=uid,item:sku and --encoding=latin-1. --purge rewrites or deletes what of it can go by itself, for those
whom the ledger records alone, and says what is left to do by hand; its exit codes are the audit's. --verify checks the
ledger, its receipts and its models (exit code 1 if they disagree). --readmit lets users who withdrew come back by their
consent, with new rows only. --undo takes back a request that a crash left owed. --explain says what a method does and costs.
A comparison, without --model_file, records nothing unless it is told --withdraw_scope=all.
--dry_run=True says what a request would forget, from a comparison or from --model_file, and writes nothing.

Without arguments: NeuMF on ml-100k (inside the recbole package), half of each user's rows for training, all rows of 5 %
of the users withdrawn. Every key of RecBole can be given as --key=value. --alpha is short for --withdraw_alpha.
Exit code, but for --audit and --purge: 0 done, 2 something given cannot be used (nothing is written then), 1 other failures.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the main job with command-line arguments and return the exit code.

    Args:
        argv: Arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(_USAGE + _help_of_keys())
        return 0
    saved_argv = sys.argv
    try:
        given = _parse(arguments)
        if "benchmark" in given:
            return _benchmark(given)
        if "explain" in given:
            sys.stdout.write(_explain(given))
            return 0
        files = given.pop("config_files", "").replace(",", " ").split()
        if JOBS.keys() & given.keys():
            return run(given, files)
        model, dataset = given.pop("model", None), given.pop("dataset", None)
        sys.argv = [saved_argv[0], *(f"--{key}={value}" for key, value in given.items())]
        from recbole_unlearn.compare.dry_run import render_plan
        from recbole_unlearn.evaluator.report import render
        from recbole_unlearn.quick_start import run_unlearn

        result = run_unlearn(model, dataset, config_file_list=files)
        plan = result.get("plan")
        sys.stdout.write((render_plan(plan) if plan else "\n" + render(result["unlearn"])) + "\n")
        if result.get("ledger"):
            sys.stdout.write(
                f"RECORDED in {result['ledger']}, for good: what was withdrawn stays out of this data set\n"
            )
    except InputError as error:
        sys.stderr.write(f"run_unlearn.py: {' '.join(str(error).split())}\n")
        return 2
    except UnlearnError as error:
        sys.stderr.write(f"run_unlearn.py: {' '.join(str(error).split())}\n")
        return 1
    finally:
        sys.argv = saved_argv
    return 0


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    """Read ``--key=value`` and ``--key value``; anything else is refused, since RecBole would silently ignore it."""
    given: dict[str, str] = {}
    for argument in _joined(arguments):
        key, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals or not key:
            hint = f" did you mean --{key}=...?" if argument.startswith("--") else suggest(argument, _LAUNCH)
            raise ConfigError(f"argument {argument!r} is not of the form --key=value;{hint} see --help")
        key = _SHORT.get(key, key)
        if given.get(key, value) != value:
            raise ConfigError(f"--{key} is given twice, as {given[key]!r} and as {value!r}; give it once")
        given[key] = value
    return given


def _joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--key value`` written as ``--key=value``.

    >>> _joined(["--explain", "SCIF", "--alpha=5"])
    ['--explain=SCIF', '--alpha=5']
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and not argument.startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _explain(given: dict[str, str]) -> str:
    from recbole_unlearn.methods.explain import explain

    name = given.pop("explain")
    if given:
        raise ConfigError(f"--explain={name} stands alone; leave --{next(iter(given))} out")
    return explain(name)


def _benchmark(given: dict[str, str]) -> int:
    from recbole_unlearn.benchmark.runner import run_benchmark

    path, only, jobs = given.pop("benchmark"), given.pop("benchmark_only", ""), given.pop("benchmark_jobs", None)
    return run_benchmark(path, jobs, only, given)


def _help_of_keys() -> str:
    sections = [("Keys", presets.keys("overall"))]
    sections += [(f"Keys of {name}", presets.keys("method", name)) for name in presets.names("method")]
    lines = []
    for title, keys in sections:
        if keys:
            lines.append(f"\n{title}:")
        for key in keys:
            default = "none" if key.default is None else key.default
            lines.append(f"  --{key.name + '=' + key.type.upper():28} {key.meaning} [{default}]")
    return "\n".join(lines) + "\n"
