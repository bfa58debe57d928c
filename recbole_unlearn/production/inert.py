"""Reads pickles without running anything in them.

``pickletools.genops`` splits the bytes into opcodes; the machine below knows what each of them does to a stack of plain
lists, dicts, sets and tuples. It imports nothing, calls nothing that a pickle names, and a class, function or object is
only ever recorded as a ``Global`` or a ``StandIn``; bytes that old protocols write as text and numpy's single numbers and
texts, which are keys and tokens, become values at once. Other data are rebuilt from stand-ins by ``contents.py``.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import IO, Any, cast

import numpy as np

from recbole_unlearn.production.arrays import numpy_array, take_joblib_array
from recbole_unlearn.production.source import Source
from recbole_unlearn.production.stand_ins import Global, StandIn
from recbole_unlearn.production.trace import NotInspected

_OPCODES = 30_000_000  # a million tokens are two million of them
_RECONSTRUCTORS = {"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__"}
_BYTES = {"_codecs.encode", "builtins.bytes", "__builtin__.bytes"}
_LARGEST_KEY = 200
_KEYS = (str, int, float, bytes, complex, frozenset, Global, StandIn, np.generic, type(None))
_JOBLIB_ARRAY = "NumpyArrayWrapper"
_NOTHING = {"PROTO", "FRAME", "STOP", "READONLY_BUFFER"}
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}


def read_pickle(
    file: IO[bytes] | Source, persistent: Callable[[Any], Any] | None = None, opcodes: int = _OPCODES
) -> Any:
    """Return the content of a pickle; classes, functions and objects are stand-ins.

    Args:
        file: An open file, or a source.
        persistent: Turns a persistent id into what stands for it; by default a stand-in.
        opcodes: How many opcodes may be read.

    Raises:
        NotInspected: It is damaged, too long, or would change something else than what it made itself.

    >>> import io, os, pickle
    >>> read_pickle(io.BytesIO(pickle.dumps({"a": [1, (2.5, b"x")]})))
    {'a': [1, (2.5, b'x')]}
    >>> read_pickle(io.BytesIO(pickle.dumps(os.getcwd)))
    posix.getcwd
    """
    source = file if isinstance(file, Source) else Source(file)
    machine = _Machine(source, persistent, opcodes)
    try:
        return machine.run()
    except NotInspected:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError, UnicodeError) as error:
        raise NotInspected(f"a pickle that is damaged ({type(error).__name__})") from error


class _Machine:
    def __init__(self, source: Source, persistent: Callable[[Any], Any] | None, opcodes: int) -> None:
        self.source, self.opcodes = source, opcodes
        self.persistent = persistent or (lambda name: StandIn(Global("pickle", "persistent_id"), (name,)))
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.deep = False
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}

    def run(self) -> Any:
        left = self.opcodes
        literals, memo = _LITERALS, self.memo
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], self.source)):
            left -= 1
            name = opcode.name
            if name in literals:
                self.stack.append(argument)
            elif name == "MEMOIZE":
                memo[len(memo)] = self.stack[-1]
            elif name in _VALUES:
                self.stack.append(_VALUES[name])
            elif name not in _NOTHING:
                handler = _HANDLERS.get(name)
                if handler is None:
                    raise NotInspected(f"a pickle with the opcode {name}")
                handler(self, argument)
            if left < 0:
                raise NotInspected("a pickle of more opcodes than are looked at")
        return self.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Return what was pushed since the last mark, and forget the mark."""
        values, self.stack = self.stack, self.marks.pop()
        return values

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop_or_mark(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def forget(self, _: Any) -> None:
        self.since_mark()

    def put(self, place: Any) -> None:
        self.memo[int(place)] = self.stack[-1]

    def named(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise NotInspected("a pickle that names a class by something else than text")
        return self.globals.setdefault((module, name), Global(module, name))

    def call(self, what: Any, arguments: Any, keywords: Any = None) -> None:
        """Record a call; what a class is made by plainly stands for the class."""
        if not isinstance(what, Global | StandIn) or not isinstance(arguments, tuple):
            raise NotInspected("a pickle that calls something else than what it names")
        if not isinstance(keywords, dict | None):
            raise NotInspected("a pickle that calls something with invalid names of arguments")
        name = repr(what)
        if name in _BYTES:
            self.push(_bytes(arguments))
            return
        if name in _RECONSTRUCTORS and arguments and isinstance(arguments[0], Global):
            what, arguments = arguments[0], arguments[3:] if name.endswith("_reconstructor") else arguments[1:]
        made = StandIn(what, arguments, keywords)
        scalar = numpy_array(made) if name.endswith(".scalar") else None
        self.push(made if scalar is None or scalar.dtype.hasobject else scalar[()])

    def reduce(self, _: Any) -> None:
        arguments = self.pop()
        self.call(self.pop(), arguments)

    def new_with_keywords(self, _: Any) -> None:
        keywords, arguments = self.pop(), self.pop()
        self.call(self.pop(), arguments, keywords)

    def build(self, _: Any) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, StandIn):
            raise NotInspected(f"a pickle that sets the state of a {_kind_of(target)}")
        target.states.append(state)
        if isinstance(target.what, Global) and target.what.name == _JOBLIB_ARRAY:
            target.values.append(take_joblib_array(target, self.source, self.nested))

    def nested(self) -> Any:
        """Return the content of the pickle that comes next; what is nested in that one in turn is not read."""
        if self.deep:
            raise NotInspected("a pickle in a pickle in a pickle")
        inner = _Machine(self.source, self.persistent, self.opcodes)
        inner.deep = True
        return inner.run()

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(values)
        elif isinstance(target, StandIn):
            target.values.extend(values)
        else:
            raise NotInspected(f"a pickle that appends to a {_kind_of(target)}")

    def add(self, _: Any) -> None:
        values = self.since_mark()
        target = self.stack[-1]
        if type(target) is set:
            target.update(map(_key, values))
        elif isinstance(target, StandIn):
            target.values.extend(values)
        else:
            raise NotInspected(f"a pickle that adds to a {_kind_of(target)}")

    def set_items(self, values: list[Any]) -> None:
        pairs = list(zip(values[::2], values[1::2], strict=True))
        target = self.stack[-1]
        if type(target) is dict:
            target.update((_key(key), value) for key, value in pairs)
        elif isinstance(target, StandIn):
            target.items.extend(pairs)
        else:
            raise NotInspected(f"a pickle that sets an item of a {_kind_of(target)}")

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def dictionary(self, _: Any) -> None:
        values = self.since_mark()
        self.push({})
        self.set_items(values)

    def last(self, count: int) -> None:
        values = tuple(self.stack[-count:])
        if len(values) < count:
            raise IndexError
        self.stack[-count:] = [values]

    def object(self, _: Any) -> None:
        what, *arguments = self.since_mark()
        self.call(what, tuple(arguments))

    def instance(self, name: Any) -> None:
        self.call(self.named(*name.split(" ", 1)), tuple(self.since_mark()))

    def stack_global(self, _: Any) -> None:
        name = self.pop()
        self.push(self.named(self.pop(), name))


def _key(key: Any) -> Any:
    """Return a key that can be hashed in no time: a hash of tuples in tuples may take for ever, or all of the stack."""
    waiting, seen = [key], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if isinstance(part, tuple) and seen + len(part) <= _LARGEST_KEY:
            waiting.extend(part)
        elif isinstance(part, tuple):
            raise NotInspected("a pickle with a key of tuples in tuples")
        elif not isinstance(part, _KEYS):
            raise NotInspected(f"a pickle with a {_kind_of(part)} for a key")
        if seen > _LARGEST_KEY:
            raise NotInspected("a pickle with a key of tuples in tuples")
    return key


def _bytes(arguments: tuple[Any, ...]) -> bytes:
    """Return the bytes that protocols 0 to 2 write as text in latin-1."""
    if not arguments:
        return b""
    if not isinstance(arguments[0], str) or arguments[1:] not in ((), ("latin1",), ("latin-1",)):
        raise NotInspected("a pickle with bytes in an encoding that pickles do not use")
    return arguments[0].encode("latin-1")


def _kind_of(thing: Any) -> str:
    return "class or function" if isinstance(thing, Global) else type(thing).__name__


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop_or_mark,
    "POP_MARK": _Machine.forget,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.push(machine.memo[int(place)])),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.last(1),
    "TUPLE2": lambda machine, _: machine.last(2),
    "TUPLE3": lambda machine, _: machine.last(3),
    "FROZENSET": lambda machine, _: machine.push(frozenset(map(_key, machine.since_mark()))),
    "DICT": _Machine.dictionary,
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "ADDITEMS": _Machine.add,
    "GLOBAL": lambda machine, name: machine.push(machine.named(*name.split(" ", 1))),
    "STACK_GLOBAL": _Machine.stack_global,
    **dict.fromkeys(
        ("EXT1", "EXT2", "EXT4"), lambda machine, code: machine.push(machine.named("copyreg.extension", str(code)))
    ),
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
    "BUILD": _Machine.build,
    "PERSID": lambda machine, name: machine.push(machine.persistent(name)),
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.pop())),
}
