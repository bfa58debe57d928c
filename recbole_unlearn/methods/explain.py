"""``--explain=METHOD``: prints a method's docstring (what it does, formula, cost) and its options."""

from __future__ import annotations

import inspect

from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.methods.plugins import find_method, method_defaults
from recbole_unlearn.settings import presets


def explain(name: str) -> str:
    """Return the text of a method: what its class says of it, and its options with their defaults.

    Args:
        name: Of a built-in method, or ``my_pkg.module:Foo``.

    Raises:
        ConfigError: No such method.

    Example:
        >>> print(explain("Retrain").splitlines()[0])
        Retrain: Train from scratch on the retained rows, with the seed of the original.
    """
    method = find_method(name)
    lines = [f"{method.name}: {inspect.getdoc(method)}"]
    base = method.__mro__[1]
    if issubclass(base, UnlearnMethod) and base is not UnlearnMethod and base.__doc__:
        lines += ["", f"A kind of {base.__name__}: {inspect.getdoc(base)}"]
    return "\n".join([*lines, "", f"Works with {_models(method)}.", *_options(name)]) + "\n"


def _models(method: type[UnlearnMethod]) -> str:
    known = "models with an adapter" if method.needs_adapter else "every model"
    return method.works_with or known + (" that is trained in epochs" if method.needs_epochs else "")


def _options(name: str) -> list[str]:
    if presets.names_code(name):
        keys = [presets.Key(key, default, "", "") for key, default in method_defaults(name).items()]
    else:
        keys = presets.keys("method", name)
    if not keys:
        return ["It has no options."]
    given = [f"--{key.name}={'none' if key.default is None else key.default}" for key in keys]
    width = max(map(len, given))
    return ["Options:", *(f"  {text:{width}}  {key.meaning}".rstrip() for text, key in zip(given, keys, strict=True))]
