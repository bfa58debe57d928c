"""What the benchmarks share: medians and spread, and json files that grow part by part."""

import json
import os
import platform
import statistics
from pathlib import Path

import torch

from benchmarks.measure.quiet import WATCH, check_quiet
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.settings.revision import git_revision


def spread(seconds):
    """Return the median, the least and the greatest of some times."""
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds), "runs": len(seconds)}


def save_part(path, name, part=None):
    """Add a part to a json file; without one, return None if the file has it already, else the parts that it has.

    A part that was measured beside others is not written, see ``quiet``.
    """
    path = Path(path)
    parts = json.loads(path.read_text()) if path.exists() else {}
    if part is None:
        WATCH.restart()  # what follows is measured
        return None if name in parts else parts
    parts[name] = {**part, **environment(), "others": check_quiet()}
    write_json(path, parts)
    print(name, {key: value for key, value in part.items() if key != "diagnostics"}, flush=True)
    return parts


def write_json(path, content):
    """Write a json file, whole or not at all."""
    write_atomically(path, lambda file: file.write((json.dumps(content, indent=1) + "\n").encode()), mode=0o644)


def commit():
    """Return the commit that is measured; a copy without its own git is told by COMMIT in the environment."""
    return os.environ.get("COMMIT") or git_revision()


def environment():
    """Return where and with what code something was measured."""
    return {
        "commit": commit(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
