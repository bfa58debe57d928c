"""The entry point: ``python run_unlearn.py`` or ``recbole-unlearn``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence

from recbole_unlearn.exceptions import ConfigError, InputError, UnlearnError
from recbole_unlearn.production.jobs import JOBS, run
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.arguments import read_arguments, written

_LAUNCH = ("model", "dataset", "config_files", "explain", *sorted(JOBS))

_USAGE = """\
Train a RecBole model, withdraw users, items or interactions from it, and measure how well it forgot.

  python run_unlearn.py [--model=NeuMF] [--dataset=ml-100k] [--methods=Retrain,SCIF] [--alpha=5]
                        [--withdraw=FILE] [--config_files=a.yaml,b.yaml] [--output_dir=output] [--key=value ...]
  python run_unlearn.py --benchmark=benchmarks/grids/paper.yaml [--benchmark_jobs=1] [--benchmark_only=NeuMF,rand@5,seed=1]

  python run_unlearn.py --model_file=saved/MODEL.pth --withdraw=FILE [--methods=SCIF] [--trust_checkpoint=True]
  python run_unlearn.py --due=LEDGER_DIR [--within=24h] [--json=True]
  python run_unlearn.py --carry_out_due=saved/MODEL.pth [--within=24h]
  python run_unlearn.py --audit=FOLDER[,FOLDER] --dataset=NAME [--withdraw=FILE] [--report=audit.json]
  python run_unlearn.py --purge=FOLDER[,FOLDER] --dataset=NAME --dry_run=True|--yes=True [--report=purge.json]
  python run_unlearn.py --verify=LEDGER_DIR
  python run_unlearn.py --readmit=FILE --dataset=NAME [--data_path=dataset]
  python run_unlearn.py --undo=saved/MODEL.pth
  python run_unlearn.py --explain=SCIF

--model_file withdraws from a trained model, in the place of its file, and records it in the ledger. The key policy says
what follows: --due lists it (exit code 0: nothing is due, 3: something is), --carry_out_due does what is due within a day
(--within), training the model anew from a good start (RetrainSVD) or as it was trained (Retrain). --audit finds what is left
on disk of all who withdrew from a data set, by the hashes of its ledger, or of those whom --withdraw=FILE names. Exit
code 0: nothing, and everything was inspected; 1: something to fix or to check; 3: nothing found, not all inspected; it also
takes --audit_columns=uid,item:sku and --encoding=latin-1. --purge rewrites or deletes what of it can go by itself, for those
whom the ledger records alone, and says what is left to do by hand; its exit codes are the audit's. --verify checks the
ledger, its receipts and its models (exit code 1 if they disagree). --readmit lets users who withdrew come back by their
consent, with new rows only. --undo takes back a request that a crash left owed. --explain says what a method does and costs.
A comparison, without --model_file, records nothing unless it is told --withdraw_scope=all.
--dry_run=True says what a request would forget, from a comparison or from --model_file, and writes nothing.

Without arguments: NeuMF on ml-100k (inside the recbole package), half of each user's rows for training, all rows of 5 %
of the users withdrawn. Every key of RecBole can be given as --key=value. --alpha is short for --withdraw_alpha.
Exit code, but for --audit, --purge and --due: 0 done, 2 something given cannot be used (nothing is written then), 1 other
failures.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the command-line arguments name and return the exit code.

    Args:
        argv: Arguments without the program's name; those of the process by default. They are read here once and handed on.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a table must not be lost for an arrow that a code page lacks
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(_USAGE + _help_of_keys())
        return 0
    try:
        given = _parse(arguments)
        return next((job for name, job in _JOBS.items() if name in given), _compare)(given)
    except UnlearnError as error:
        sys.stderr.write(f"run_unlearn.py: {' '.join(str(error).split())}\n")
        return 2 if isinstance(error, InputError) else 1


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    """Return the arguments by key; ``--alpha`` is short for ``--withdraw_alpha`` here, and a model's own key in a config."""
    return read_arguments(arguments, {"alpha": "withdraw_alpha"}, _LAUNCH)


def _compare(given: dict[str, str]) -> int:
    """Train, withdraw, unlearn and measure: the job without a name."""
    from recbole_unlearn.compare.dry_run import render_plan
    from recbole_unlearn.evaluator.report import render
    from recbole_unlearn.quick_start import run_unlearn

    files = given.pop("config_files", "").replace(",", " ").split()
    model, dataset = given.pop("model", None), given.pop("dataset", None)
    result = run_unlearn(model, dataset, config_file_list=files, argv=written(given))
    plan = result.get("plan")
    sys.stdout.write((render_plan(plan) if plan else "\n" + render(result["unlearn"])) + "\n")
    if result.get("ledger"):
        sys.stdout.write(f"RECORDED in {result['ledger']}, for good: what was withdrawn stays out of this data set\n")
    return 0


def _explain(given: dict[str, str]) -> int:
    """Say what a method does and costs."""
    from recbole_unlearn.methods.explain import explain

    name = given.pop("explain")
    if given:
        raise ConfigError(f"--explain={name} stands alone; leave --{next(iter(given))} out")
    sys.stdout.write(explain(name))
    return 0


def _benchmark(given: dict[str, str]) -> int:
    """Run a grid of comparisons."""
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


_JOBS: dict[str, Callable[[dict[str, str]], int]] = {
    "benchmark": _benchmark,
    "explain": _explain,
    **dict.fromkeys(JOBS, run),
}
