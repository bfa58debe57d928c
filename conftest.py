"""Every test and doctest runs in a folder of its own, without the arguments of pytest."""

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the file with the longest test first: what starts last must not be what takes longest."""
    items.sort(key=lambda item: item.path.name != "test_acceptance.py")


@pytest.fixture(autouse=True)
def clean_process(monkeypatch, tmp_path):
    """RecBole reads sys.argv and writes logs into the current folder."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def each_yaml_is_parsed_once() -> Iterator[None]:
    """RecBole parses the same yaml files for each Config, in pure Python: 60 ms of 90, in thousands of tests."""
    real, parsed = yaml.load, dict[Any, bytes]()

    def load(stream: Any, Loader: Any) -> Any:
        if not isinstance(stream, str):
            return real(stream, Loader)
        if (stream, Loader) not in parsed:
            parsed[stream, Loader] = pickle.dumps(real(stream, Loader))
        return pickle.loads(parsed[stream, Loader])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", load)
        yield
