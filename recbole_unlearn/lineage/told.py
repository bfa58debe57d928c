"""What a message says to run for a model file."""

from __future__ import annotations

import os
import shlex
import zipfile

_CONFIG = b"recbole.config"  # the class of what RecBole keeps of a run, which only a pickle can hold


def call_of(key: str, model_file: str | os.PathLike[str]) -> str:
    """Return a call of ``run_unlearn.py`` for a model file, as it can be typed: trusted, if the file is in RecBole's format.

    >>> call_of("carry_out_due", "saved/NeuMF.pth")
    'run_unlearn.py --carry_out_due=saved/NeuMF.pth'
    """
    trust = " --trust_checkpoint=True" if _is_recboles(model_file) else ""
    return f"run_unlearn.py --{key}={shlex.quote(str(model_file))}{trust}"


def _is_recboles(model_file: str | os.PathLike[str]) -> bool:
    if not os.path.isfile(model_file):  # a pipe would be waited for
        return False
    try:
        with zipfile.ZipFile(model_file) as parts:
            pickles = [name for name in parts.namelist() if name.endswith("data.pkl")]
            return any(_CONFIG in parts.read(name) for name in pickles)
    except Exception:  # of a damaged or hostile archive zipfile raises whatever it runs into
        return False
