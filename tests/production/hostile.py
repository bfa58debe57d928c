"""Files that want to run code, take all memory, or never end. Each maker writes one, or returns its bytes."""

import bz2
import copyreg
import functools
import gzip
import io
import lzma
import os
import pickle
import socket
import struct
import tarfile
import zipfile
import zlib

import joblib
import numpy as np
import torch

CANARY = "canary"
TOUCH = f"touch {CANARY}"


class Calls:
    """Pickles as a call."""

    def __init__(self, what, *arguments, **more):
        self.call = (what, arguments, *more.get("rest", ()))

    def __reduce__(self):
        return self.call


def calls(what, *arguments, **more):
    return pickle.dumps(Calls(what, *arguments, **more))


def call_text(name, argument=TOUCH):
    module, function = name.rsplit(".", 1)
    return f"c{module}\n{function}\n(S'{argument}'\ntR.".encode()


def name_of(module, name):
    return f"c{module}\n{name}\n".encode()


DICT_OF_STATE = b"}S'load'\nNs"  # {"load": None}
PICKLES = {
    "system": call_text("os.system"),
    "posix system": call_text("posix.system"),
    "popen": call_text("subprocess.getoutput"),
    "eval": call_text("builtins.eval", f'open("{CANARY}", "w")'),
    "exec": call_text("builtins.exec", f'open("{CANARY}", "w")'),
    "old exec": call_text("__builtin__.eval", f'open("{CANARY}", "w")'),
    "open": calls(open, CANARY, "w"),
    "mkdir": calls(os.mkdir, CANARY),
    "runpy": call_text("runpy.run_path", CANARY),
    "ctypes": call_text("ctypes.CDLL", CANARY),
    "getattr chain": calls(getattr, Calls(__import__, "os"), "system"),
    "import of a module": call_text("builtins.__import__", "this"),
    "operator": b"coperator\nattrgetter\n(S'system'\ntR(cos\nerror\ntR.",
    "partial": pickle.dumps(functools.partial(os.system, TOUCH)),
    "a map that is listed": b"cbuiltins\nlist\n(cbuiltins\nmap\n(cos\nsystem\n(S'" + TOUCH.encode() + b"'\nltRtR.",
    "protocol 4": pickle.dumps(Calls(os.system, TOUCH), 4),
    "stack global of a dotted name": b"\x80\x04\x8c\x02os\x8c\x0bpath.exists\x93\x8c\x01x\x85R.",
    "inst": b"(S'" + TOUCH.encode() + b"'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'" + TOUCH.encode() + b"'\no.",
    "newobj": b"\x80\x02cos\nsystem\nS'" + TOUCH.encode() + b"'\n\x85\x81.",
    "newobj with keywords": b"\x80\x04cos\nsystem\n)}S'command'\nS'" + TOUCH.encode() + b"'\ns\x92.",
    "build on a class": name_of("recbole_unlearn.production.inert", "_Machine") + DICT_OF_STATE + b"b.",
    "build on a function": name_of("recbole_unlearn.production.files", "open_regular") + DICT_OF_STATE + b"b.",
    "build on a module": name_of("recbole_unlearn.production", "inert") + DICT_OF_STATE + b"b.",
    "build on a StandIn's class": name_of("recbole_unlearn.production.stand_ins", "StandIn") + DICT_OF_STATE + b"b.",
    "build on a dict": b"}" + DICT_OF_STATE + b"b.",
    "build on a text": b"S'x'\n" + DICT_OF_STATE + b"b.",
    "build with slots": name_of("os", "system") + b"(N" + DICT_OF_STATE + b"tb.",
    "items of a module": name_of("sys", "modules") + b"S'json'\nNs.",
    "append to a path": name_of("sys", "path") + b"S'/tmp'\na.",
    "append to a text": b"S'x'\nS'y'\na.",
    "add to a class": b"\x80\x04csys\nmodules\n(S'y'\n\x90.",
    "call a text": b"(S'os.system'\n(S'x'\ntRt.",
    "call with a list": b"cos\nsystem\n]R.",
    "copyreg": calls(copyreg.add_extension, "os", "system", 1),
    "copyreg reconstructor": b"ccopyreg\n_reconstructor\n(cos\nsystem\ncbuiltins\nobject\nNtR.",
    "extension 1": b"\x80\x02\x82\x01.",
    "extension 4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "set state": calls(np.random.RandomState, rest=({"x": Calls(os.system, TOUCH)},)),
    "dictitems": calls(dict, rest=(None, None, iter([("x", Calls(os.system, TOUCH))]))),
    "persistent id": b"Pos.system\n.",
    "persistent call": b"cos\nsystem\n(S'" + TOUCH.encode() + b"'\ntRQ.",
    "torch.load in bytes": calls(torch.storage._load_from_bytes, pickle.dumps(Calls(os.system, TOUCH))),
    "joblib name": b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)R" + DICT_OF_STATE + b"b.",
    "numpy dtype that evaluates": b"cnumpy\ndtype\n(S'O8,i4,,'\ntR.",
    "numpy reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(I0\ntS'b'\ntR"
    b"(I1\n(I99999999999\ntNI00\nS'x'\ntb.",
    "huge numpy shape": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    b"(I1\n(I999999999999\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\nS'x'\ntb.",
    "items of no bytes": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    b"(I1\n(I999999999999\ntcnumpy\ndtype\n(S'S0'\nI0\nI1\ntRI00\nS''\ntb.",
    "memo bomb": b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff.",
    "memo text bomb": b"Np99999999999999999999\n.",
    "lists in lists": b"]" * 500_000 + b"a" * 499_999 + b".",
    "tuples in tuples": b")" + b"\x85" * 500_000 + b".",
    "key of deep tuples": b"})" + b"\x85" * 500_000 + b"Ns.",
    "laughs of lists": b"]" + b"q\x00(" + b"(" * 0 + b"lq\x01" + b"(h\x01h\x01lq\x01" * 200 + b".",
    "laughs of tuples as a key": b"})q\x010" + b"h\x01h\x01\x86q\x010" * 200 + b"h\x01Ns.",
    "many marks": b"(" * 1_000_000 + b".",
    "many sets": b"\x80\x04" + b"\x8f" * 6_000_000 + b".",
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "negative bytes": b"\x80\x02T\xff\xff\xff\xffx.",
    "long bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b"x.",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
    "long number": b"L" + b"9" * 900_000 + b"L\n.",
    "buffer": b"\x80\x05\x97.",
    "odd dict": b"(S'a'\nd.",
    "get of nothing": b"(g7\n.",
    "empty stack": b"\x80\x02.",
    "cut off": pickle.dumps({"a": list(range(1000))})[:500],
    "unknown opcode": b"\x80\x04\xfe.",
    "a list as a key": b"}]Ns.",
    "itself": b"]q\x00h\x00a.",
    "an index of itself": b"cpandas.core.indexes.base\n_new_Index\n(cpandas\nIndex\n}q\x00tRq\x01h\x00S'data'\nh\x01s0.",
    "an array of itself": b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)Rq\x00h\x00a.",
    "a parameter of parameters": b"ctorch._utils\n_rebuild_parameter\nq\x00Nq\x01"
    + b"h\x00h\x01\x85Rq\x01" * 3000
    + b".",
    "a type of types": b"cnumpy\ndtype\n(S'V8'\ntRq\x01"
    + b"0cnumpy\ndtype\n(S'V8'\ntRq\x02(I3\nS'|'\n(h\x01(I1\nttNNtbq\x01" * 3000
    + b"0cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nth\x01I00\nS'x'\ntb.",
    "a dict of itself": b"}q\x00S'a'\nh\x00s.",
}


def torch_file(content=None, **members):
    """Return a file of torch.save with some members replaced, added or, where they are None, left out."""
    saved, made = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.ones(2)} if content is None else content, saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(made, "w") as new:
        inside = {name.removeprefix("archive/"): old.read(name) for name in old.namelist()}
        for name, data in {**inside, **members}.items():
            if data is not None:
                new.writestr(f"archive/{name}", data)
    return made.getvalue()


def legacy_file(content):
    made = io.BytesIO()
    torch.save(content, made, _use_new_zipfile_serialization=False)
    return made.getvalue()


def torchscript():
    class Module(torch.nn.Module):
        def forward(self, x):
            return x + 1

    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Module()), made)
    return made.getvalue()


def tensor_of(offset, shape, strides, count=2):
    storage = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI%d\ntQ" % count
    told = [b"(" + b"".join(b"I%d\n" % one for one in numbers) + b"t" for numbers in (shape, strides)]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n" % offset + b"".join(told) + b"I00\nNtR."


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return made.getvalue()


def overlapping():
    """Two entries of the directory that name the same bytes."""
    data = zipped(("a", b"0" * 1000), ("b", b"1" * 1000))
    start = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", start + 4)
    return data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]


def patched(data, find, replace):
    assert find in data
    return data.replace(find, replace, 1)


def encrypted():
    data = bytearray(zipped(("a", b"0" * 100)))
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + place] |= 1
    return bytes(data)


def wrong_crc():
    data = zipped(("a", b"hello world"), method=zipfile.ZIP_STORED)
    return patched(data, b"hello world", b"hellO world")


def npy(header):
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"x" * 16


def tar_of(name, data, size=None, mode="w"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    content = bytearray(made.getvalue())
    if size is not None:
        content[124:136] = b"%011o\0" % size
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
    return bytes(content)


def dumped(thing, **keys):
    made = io.BytesIO()
    joblib.dump(thing, made, **keys)
    return made.getvalue()


def much(packer, size=5 << 28):
    """Return what unpacks to so many zeros, which some packers write in pieces."""
    return packer(bytes(1 << 26)) * (size // (1 << 26))


# They take seconds each to look at, and another one of their kind is there: one test looks at them, not each.
SLOW = {"pickle many sets.pkl", "pickle tuples in tuples.pkl", "zip bomb in lzma.zip", "bomb.bz2", "bomb.xz"}


@functools.cache
def files():
    """Return the name and the bytes of each hostile file; to pack the bombs takes 20 s."""
    return tuple(_files())


def _files():
    yield from ((f"pickle {name}.pkl", data) for name, data in PICKLES.items())
    code = pickle.dumps(Calls(os.system, TOUCH), 2)
    torches = {
        "script": torchscript(),
        "script without constants": patched(torchscript(), b"constants.pkl", b"constantz.pkl").replace(
            b"constants", b"constantz"
        ),
        "constants": torch_file(**{"constants.pkl": code}),
        "code": torch_file(**{"code/__torch__.py": b"import os"}),
        "code in data": torch_file(**{"data.pkl": code}),
        "code in constants alone": zipped(("archive/constants.pkl", code), ("archive/data.pkl", code)),
        "other members": torch_file(**{"more.pkl": code}),
        "big-endian": torch_file(byteorder=b"big"),
        "no storage": torch_file(**{"data/0": None}),
        "short storage": torch_file(**{"data/0": b"x"}),
        "beyond its storage": torch_file(**{"data.pkl": tensor_of(1, (2,), (1,))}),
        "negative stride": torch_file(**{"data.pkl": tensor_of(1, (2,), (-1,))}),
        "stride of no step": torch_file(**{"data.pkl": tensor_of(0, (1 << 40,), (0,))}),
        "many dimensions": torch_file(**{"data.pkl": tensor_of(0, (1,) * 99, (1,) * 99)}),
        "huge storage": torch_file(**{"data.pkl": tensor_of(0, (2,), (1,), 1 << 41)}),
        "a storage called up": torch_file(**{"data.pkl": b"(S'storage'\nctorch\nFloatStorage\nS'../x'\nNI2\ntQ."}),
        "module": torch_file({"state_dict": torch.nn.Linear(2, 2), "more": Calls(os.system, TOUCH)}),
        "cut off": torch_file()[:300],
    }
    yield from ((f"torch {name}.pth", data) for name, data in torches.items())
    legacy = legacy_file({"w": torch.ones(2), "x": Calls(os.system, TOUCH)})
    yield "legacy.pth", legacy
    yield "legacy cut off.pth", legacy[:-4]
    zips = {
        "absolute": zipped(("/etc/x", b"x")),
        "up": zipped(("../../x", b"x")),
        "bomb": zipped(*((f"{number}", bytes(64 << 20)) for number in range(20))),
        "bomb in lzma": zipped(("a", bytes(512 << 20)), method=zipfile.ZIP_LZMA),
        "lying about its size": patched(zipped(("a", b"0" * 70_000)), b"PK\x01\x02", b"PK\x01\x02").replace(
            struct.pack("<I", 70_000), struct.pack("<I", 7)
        ),
        "overlapping": overlapping(),
        "crc": wrong_crc(),
        "encrypted": encrypted(),
        "cut off": zipped(("a", b"0" * 1000))[:60],
        "unknown packing": patched(
            zipped(("a", b"0" * 100)),
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08\x00",
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00",
        ),
    }
    yield from ((f"zip {name}.zip", data) for name, data in zips.items())
    yield "bomb.gz", much(functools.partial(gzip.compress, compresslevel=9))
    yield "bomb.bz2", much(bz2.compress)
    yield "bomb.xz", much(lzma.compress)
    yield "cut off.gz", gzip.compress(os.urandom(1000))[:500]
    yield "damaged.gz", gzip.compress(bytes(1000))[:-8] + b"12345678"
    yield "damaged.xz", lzma.compress(bytes(1000))[:40] + b"x" * 40
    yield "bomb.z.pkl", zlib.compress(b"\x80\x04\x8e" + struct.pack("<Q", 5 << 28) + bytes(5 << 28) + b".", 1)
    yield "tar of a size.tar", tar_of("a", b"x" * 100, 1 << 32)
    yield "tar up.tar", tar_of("../../x", b"x")
    yield "tar bomb.tgz", tar_of("a", bytes(64 << 20), mode="w:gz") * 20
    yield "tar cut off.tar", tar_of("a", b"x" * 5000)[:1000]
    headers = {
        "huge": "{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,)}",
        "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-5,)}",
        "overflow": "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2)}",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
        "no type": "{'descr': '__import__(\"os\")', 'fortran_order': False, 'shape': (2,)}",
        "code": f"__import__('os').system('{TOUCH}')",
        "nested": "(" * 9000,
        "nothing": "{}",
        "items of no bytes": "{'descr': '|S0', 'fortran_order': False, 'shape': (99999999999,)}",
    }
    yield from ((f"npy {name}.npy", npy(header)) for name, header in headers.items())
    objects = io.BytesIO()
    np.save(objects, np.array([Calls(os.system, TOUCH)], dtype=object), allow_pickle=True)
    yield "npy of calls.npy", objects.getvalue()
    yield "joblib.pkl", dumped({"a": np.arange(3), "b": Calls(os.system, TOUCH)})
    yield "joblib of objects.pkl", dumped(np.array([Calls(os.system, TOUCH)], dtype=object))
    yield "joblib packed.pkl", dumped({"b": Calls(os.system, TOUCH)}, compress=("xz", 3))
    yield "joblib cut off.pkl", dumped({"a": np.arange(300)})[:400]
    yield "empty.pkl", b""
    yield "new\nline.pkl", b"\x80\x04N."
    yield "\x1b[2Jescape.pkl", b"\x80\x04N."
    yield "\u202eright to left.pkl", b"\x80\x04N."
    yield "not utf-8 \udcff.pkl", b"\x80\x04N."


def write_all(folder, without=frozenset()):
    """Write all of them but some, and what is no file; return the paths."""
    for name, data in files():
        if name in without:
            continue
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.pkl")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))
    (folder / "device.pkl").symlink_to("/dev/zero")
    (folder / "circle.pkl").symlink_to(folder / "circle.pkl")
    (folder / "up").symlink_to(folder)
    (folder / "folder.pkl").mkdir()
    return sorted(folder.iterdir())
