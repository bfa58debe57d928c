"""The jobs of the entry point beside the comparison: withdraw from a trained model, audit a folder, verify a ledger."""

from __future__ import annotations

import sys
from typing import Any

import yaml

from recbole_unlearn.exceptions import ConfigError


def run(given: dict[str, str], config_files: list[str]) -> int:
    """Run the job that the arguments name and return the exit code."""
    jobs = [name for name in ("model_file", "audit", "verify") if name in given]
    if len(jobs) > 1:
        raise ConfigError(f"{' and '.join('--' + name for name in jobs)} are jobs of their own; name one")
    values = {**_from_files(config_files), **given}
    target = values.pop(jobs[0])
    return {"model_file": _withdraw, "audit": _audit, "verify": _verify}[jobs[0]](target, values)


def _withdraw(model_file: str, values: dict[str, Any]) -> int:
    from recbole_unlearn.withdraw import withdraw_from_model

    result = withdraw_from_model(model_file, values)
    if "plan" in result:
        from recbole_unlearn.dry_run import render_plan

        sys.stdout.write(
            f"{model_file}: " + (render_plan(result["plan"]) if result["plan"] else "nothing to do") + "\n"
        )
        return 0
    lines = []
    for entry, receipt in zip(result["withdrawals"], result["receipts"], strict=True):
        lines.append(
            f"withdrawn with {entry['method']} in {entry['seconds']:.3f} s: {entry['users']} users, {entry['items']} items, "
            f"{entry['pairs']} interactions ({entry['rows']:,} training rows); receipt {receipt}"
        )
        if entry["approximate"]:
            lines.append("approximate: " + str(entry["report"].get("approximate")))
    if result["gone"]:
        lines.append(f"{result['gone']} of what the request names had left already")
    if result["missing"]:
        lines.append(f"{result['missing']} of what the request names is not in the data set and was skipped")
    done = f"saved in {model_file}" if result["withdrawals"] else f"nothing to do; {model_file} is as it was"
    sys.stdout.write("\n".join([*lines, done]) + "\n")
    return 0


def _audit(folder: str, values: dict[str, Any]) -> int:
    from recbole_unlearn.lineage.audit import run_audit

    return run_audit(folder, values, sys.stdout)


def _verify(folder: str, values: dict[str, Any]) -> int:
    from recbole_unlearn.lineage.audit import run_verify

    return run_verify(folder, values, sys.stdout)


def _from_files(files: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file in files:
        try:
            with open(file, encoding="utf-8") as text:
                content = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"config file {file!r} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise ConfigError(f"config file {file!r} holds no `key: value` lines")
        values.update(content)
    return values
