"""Methods and adapters from outside the package, named as ``my_pkg.module:Foo``.

A method's options are the fields of its dataclass; those of a built-in method stand with their meaning in its yaml, too.
Naming such a class imports its module, which runs its code: names from a loaded model's file are never followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from importlib import import_module
from typing import Any

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods.base import UnlearnMethod, method_class
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.settings import presets


def find_method(name: str) -> type[UnlearnMethod]:
    """Return the class of a method: a built-in name, or ``my_pkg.module:Foo``, whose module is imported.

    Raises:
        ConfigError: No such method, its module cannot be imported, or it names no UnlearnMethod.
    """
    return _import(name, UnlearnMethod) if presets.names_code(name) else method_class(name)


def get_method(config: Any, method_name: str) -> UnlearnMethod:
    """Return a method, built in or ``my_pkg.module:Foo``, with the options that the config holds for it.

    Raises:
        ConfigError: No such method, or an option is out of its range.
    """
    return find_method(method_name)(**config.method_options(method_name))


def import_adapters(names: Iterable[str]) -> None:
    """Import adapters named ``my_pkg.module:Foo``; being imported registers them.

    Raises:
        ConfigError: One of them cannot be imported or is no ScoringAdapter.
    """
    for name in names:
        _import(name, ScoringAdapter)


def method_defaults(name: str) -> dict[str, Any]:
    """Return the options of a method with their defaults."""
    if presets.names_code(name):
        return {one.name: _default(one) for one in fields(find_method(name))}
    return presets.load("method", name)


def options_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, with their defaults, of the methods from outside that these keys name."""
    outside = presets.named_from_outside(given)
    return {key: default for name in outside for key, default in method_defaults(name).items()}


def _default(one: Field[Any]) -> Any:
    return None if one.default is MISSING else one.default


def _import(name: str, base: type) -> Any:
    module, _, attribute = str(name).partition(":")
    if not module or not attribute:
        raise ConfigError(f"{name!r} is not of the form my_pkg.module:Foo; give a module, a colon and a class")
    try:
        named = getattr(import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"{name!r}: the module cannot be imported ({error}); install it, or put its folder on PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{name!r}: the module {module!r} has no {attribute!r}; check its spelling") from error
    if not isinstance(named, type) or not issubclass(named, base):
        raise ConfigError(f"{name!r} is no {base.__name__}; give a subclass of {base.__module__}.{base.__name__}")
    return named
