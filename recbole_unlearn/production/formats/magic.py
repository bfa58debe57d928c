"""Recognises kinds of files that are not read, by their first bytes."""

from __future__ import annotations

from recbole_unlearn.production.formats.lines import wide_encoding

_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "picture (png)"),
    (b"\xff\xd8\xff", "picture (jpeg)"),
    (b"GIF8", "picture (gif)"),
    (b"RIFF", "media (riff)"),
    (b"\x00\x00\x01\x00", "picture (ico)"),
    (b"%PDF", "document (pdf)"),
    (b"%!PS", "document (ps)"),
    (b"\xd0\xcf\x11\xe0", "office document"),
    (b"\x89HDF", "hdf5"),
    (b"CDF", "netcdf"),
    (b"MATLAB", "matlab"),
    (b"\x7fELF", "program (elf)"),
    (b"MZ", "program (exe)"),
    (b"\xcf\xfa\xed\xfe", "program (mach-o)"),
    (b"\xca\xfe\xba\xbe", "program (class)"),
    (b"\x00asm", "program (wasm)"),
    (b"!<arch>", "program (library)"),
    (b"\x28\xb5\x2f\xfd", "packed (zstd)"),
    (b"\x04\x22\x4d\x18", "packed (lz4)"),
    (b"7z\xbc\xaf\x27\x1c", "packed (7z)"),
    (b"Rar!", "packed (rar)"),
    (b"LZIP", "packed (lzip)"),
    (b"\x1f\x9d", "packed (compress)"),
    (b"Obj\x01", "avro"),
    (b"ORC", "orc"),
    (b"wOF", "font"),
    (b"OTTO", "font"),
    (b"\x00\x01\x00\x00\x00", "font or access database"),
    (b"OggS", "media (ogg)"),
    (b"ID3", "media (mp3)"),
    (b"DIRC", "git index"),
    (b"RDX", "R data"),
    (b"DUCK", "duckdb"),
    (b"\x7f\x45\x4c\x46", "program (elf)"),
    (b"\x37\x7f\x06\x82", "journal of SQLite"),
    (b"\x37\x7f\x06\x83", "journal of SQLite"),
    (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", "journal of SQLite"),
    (b"GGUF", "model (gguf)"),
    (b"REDIS", "redis dump"),
    (b"age-encryption", "encrypted (age)"),
    (b"-----BEGIN PGP", "encrypted (pgp)"),
    (b"070701", "archive (cpio)"),
    (b"070707", "archive (cpio)"),
    (b"$FL2", "spss"),
    (b"$FL3", "spss"),
    (b"<stata_dta>", "stata"),
    (b"Salted__", "encrypted (openssl)"),
)
_SUFFIXES = {
    ".pyc": "program (pyc)",
    ".tfevents": "tensorboard",
    ".onnx": "model (onnx)",
    ".pb": "protocol buffers",
    ".mat": "matlab",
    ".h5": "hdf5",
    ".wandb": "wandb",
}


def unread_kind(head: bytes, name: str) -> str | None:
    """Return the kind of a file that is not read, or None if it is text.

    >>> unread_kind(b"%PDF-1.7", "a.pdf"), unread_kind(b"user_id,n", "a.csv"), unread_kind(bytes(9), "a.bin")
    ('document (pdf)', None, 'binary file')
    """
    if head[4:8] == b"ftyp":
        return "media (mp4)"
    if head[8:12] == b"DUCK":
        return "duckdb"
    binary = is_binary(head)
    for magic, kind in _KINDS:
        if head.startswith(magic) and (binary or not magic.isalnum()):
            return kind
    if not binary:
        return None
    if "tfevents" in name:
        return "tensorboard"
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), "binary file")


def is_binary(head: bytes) -> bool:
    """Return whether these are the first bytes of no text."""
    if wide_encoding(head) is not None:
        return False
    if b"\0" in head:
        return True
    odd = sum(byte < 32 and byte not in (1, 8, 9, 10, 12, 13, 27) for byte in head[:4096])
    return odd * 20 > min(len(head), 4096)
