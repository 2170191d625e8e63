"""The small ARFF reader, on what the format allows and what it refuses."""

import gzip

import pytest

from polytask.datasets.arff import read_arff
from polytask.errors import DataError

GOOD = """% a comment
@RELATION 'toy'

@ATTRIBUTE plain            numeric
@attribute "'quoted'l1" REAL
@attribute 'two words' integer
@attribute colour {red, 'dark blue'}

@DATA
1, 2.5, 3, red
% between rows
?,-1e3,?,'dark blue'
"""


def test_names_kinds_and_gaps(tmp_path):
    path = tmp_path / "toy.arff"
    path.write_text(GOOD)
    frame = read_arff(path)
    assert frame.columns == ["plain", "quotedl1", "two words", "colour"]
    assert frame.rows() == [(1.0, 2.5, 3.0, "red"), (None, -1000.0, None, "dark blue")]


def test_compressed_is_the_same(tmp_path):
    plain, packed = tmp_path / "toy.arff", tmp_path / "toy.arff.gz"
    plain.write_text(GOOD.replace("\n", "\r\n"))
    packed.write_bytes(gzip.compress(GOOD.encode()))
    assert read_arff(plain).equals(read_arff(packed))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found none"),
        ("@relation x\n@data\n1\n", "expected 0 values, found 1"),
        ("@attribute a numeric\n@data\n", "found none"),
        ("@attribute a numeric\n@data\n1,2\n", "line 3: expected 1 values, found 2"),
        ("@attribute a numeric\n@data\n{0 1}\n", "sparse"),
        ("@attribute a date\n@data\n1\n", "found 'date'"),
        ("@attribute a\n@data\n1\n", "expected '@attribute NAME KIND'"),
        ("@attribute a numeric\n@attribute a numeric\n@data\n1,2\n", "second attribute named 'a'"),
        ("@attribute a numeric\n@data\n1\nx\n", "line 4: expected a number for 'a', found 'x'"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.arff"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_arff(path)
