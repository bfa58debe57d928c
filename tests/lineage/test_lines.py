"""Lines that several processes append to one file: each whole, whatever a crash left before it."""

import pytest

from recbole_unlearn.lineage.lines import append_line, read_lines


def test_lines_stand_one_below_the_other(tmp_path):
    for number in range(3):
        append_line(tmp_path / "folder" / "lines.jsonl", {"n": number})
    assert (tmp_path / "folder" / "lines.jsonl").read_bytes() == b'{"n": 0}\n{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize("torn", [b"{", b'{"n"', b'{"n": 5', b'{"n": 0}\n{', b'{"n": 0}\n{"n": 5'])
def test_a_torn_line_takes_no_later_one_with_it(tmp_path, torn):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(torn)
    append_line(path, {"n": 1})
    assert path.read_bytes() == torn + b'\n{"n": 1}\n'
    assert read_lines(path) == [{"n": 0}] * torn.count(b"\n") + [{"n": 1}]
