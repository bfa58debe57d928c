"""Turns off autograd's anomaly detection, which one of RecBole's modules leaves on for everybody.

RecBole's ``SINE`` calls ``torch.autograd.set_detect_anomaly(True)`` as it is imported, and it is imported with every
sequential model and with the search for every model of a graph of knowledge. From then on each operation of the process
writes down its stack trace.
"""

import functools
import sys

import torch

_SINE = "recbole.model.sequential_recommender.sine"


def undo_anomaly_detection() -> None:
    """Turn anomaly detection off once after ``SINE`` was imported; who turns it on later has it."""
    if _SINE in sys.modules:
        _turn_off()


@functools.cache
def _turn_off() -> None:
    torch.autograd.set_detect_anomaly(False)
