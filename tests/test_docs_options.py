"""The options that pages name exist, with the values that pages name."""

import dataclasses
import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import recbole
import yaml

from recbole_unlearn.methods import method_class
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.check import _keys_read_by_recboles_core, our_keys
from recbole_unlearn.settings.policy import _KEYS as POLICY

ROOT = Path(__file__).parent.parent
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A column of the README's table, the option of the example in extend.md, and what yaml files of methods begin with.
OTHER = {"kept", "scale", "extends"}


def options():
    """Return the allowed values of each option of a method: a set for choices, None for anything else."""
    found = {}
    for name in presets.names("method"):
        kind = method_class(name)
        hints = get_type_hints(kind)
        for one in dataclasses.fields(kind):
            choices = get_origin(hints[one.name]) is Literal
            found[one.name] = set(get_args(hints[one.name])) if choices else None
    return found


def recboles_keys():
    """Return the keys of RecBole's own yaml files, those of models among them, and of the dicts in them."""
    found = set()
    for path in (Path(recbole.__file__).parent / "properties").rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found |= set(content)
        found |= {key for value in content.values() if isinstance(value, dict) for key in value}
    return found


def named(text):
    """Return the (option, value) pairs that stand in backticks as ``name: value``, outside blocks of code."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    pairs = re.findall(r"`([a-z_]+): ([^`]+)`", prose)
    return [(name, value.strip()) for name, values in pairs for value in values.split("|")]


def unknown(text):
    """Return what a text names of options and values that do not exist."""
    known, choices = {*our_keys(), *_keys_read_by_recboles_core(), *recboles_keys(), *POLICY, *OTHER}, options()
    return [
        (name, value)
        for name, value in named(text)
        if name not in known | set(choices) or (choices.get(name) and value not in choices[name])
    ]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_options_that_a_page_names_exist(path):
    assert unknown(path.read_text(encoding="utf-8")) == []


def test_an_option_or_a_value_that_is_gone_is_found():
    text = "Set `solver: cg | lissa`, `hessian: new | exact` or `damping: ~`.\n```yaml\n`nothing: 1`\n```\n"
    assert unknown(text) == [("solver", "cg"), ("solver", "lissa"), ("hessian", "exact")]
