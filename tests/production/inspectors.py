"""What the tests let workers do with a file."""

import os
import resource
import sys
import time

from recbole_unlearn.production.contents import as_array, as_dict, as_list, as_table, read_content
from recbole_unlearn.production.files import member, open_regular, open_zip, unpacked
from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.stand_ins import walk
from recbole_unlearn.production.torch_files import tensors
from recbole_unlearn.production.trace import NotInspected
from recbole_unlearn.production.wanted import Wanted


def describe(path):
    """Look at a file in every way there is; return how much memory that took."""
    file = open_regular(path)
    with file:
        head = file.read(262 + 6)
        file.seek(0)
        if head[:2] == b"PK" and path.suffix != ".pth":
            archive = open_zip(file)
            return [len(member(archive, name)) for name in archive.namelist()] and usage()
        if path.suffix in (".gz", ".bz2", ".xz", ".lzma"):
            stream = unpacked(file)
            while stream.read(1 << 20):
                pass
            return usage()
        if path.suffix in (".tar", ".tgz"):
            return {"traces": len(inspect("x", file, None, Wanted.from_spec({"users": ["u3"]}))), **usage()}
    content = read_content(path)
    seen = list(tensors(content))
    for thing in walk(content):
        for look in (as_dict, as_list, as_array, as_table):
            try:
                look(thing)
            except NotInspected:
                seen.append("not inspected")
    return usage()


def usage():
    """Return the most memory that this process had, in bytes; getrusage would tell that of the process before it, too."""
    try:
        with open("/proc/self/status") as status:
            peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"peak": peak * 1024, "torch": "torch" in sys.modules}


def read(path, note=""):
    return [note, path.read_text()]


def made_once(word):
    return [word]


def with_what_was_made(path, made):
    made.append(path.name)
    return made


def misbehave(path, word=""):
    """Do what the file says."""
    told = path.read_text()
    if told in DEEDS:
        return DEEDS[told]()
    return [told, word, os.getpid()]


def break_():
    raise KeyError("the token of a person")


def recurse():
    return recurse()


def forge():
    sys.stdout.write('{"found": "forged"}\n')
    sys.stdout.flush()
    os.write(1, b'{"found": "forged"}\n')
    return ["print"]


DEEDS = {
    "die": os.abort,
    "leave": lambda: sys.exit(3),
    "sleep": lambda: time.sleep(60),
    "spin": lambda: sum(range(1 << 40)),
    "eat": lambda: len(bytearray(1 << 33)),
    "raise": break_,
    "recurse": recurse,
    "print": forge,
    "object": object,
    "long": lambda: "x" * (1 << 25),
}


def modules(path):
    return sorted({name.split(".")[0] for name in sys.modules})
