"""Every test and doctest runs in a folder of its own, without the arguments of pytest."""

import sys

import pytest


@pytest.fixture(autouse=True)
def clean_process(monkeypatch, tmp_path):
    """RecBole reads sys.argv and writes logs into the current folder."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
