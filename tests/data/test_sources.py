"""Every door a table can enter by, and every way a file can be wrong."""

import gzip
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from polytask.data.sources import read, scan
from polytask.errors import DataError

FRAME = pl.DataFrame(
    {
        "age": [31, 45, None, 60],
        "height": [1.7, None, 1.6, 1.9],
        "city": ["Bern", "Genève", None, "Zürich"],
        "smoker": [True, False, None, True],
        "born": [date(1990, 1, 2), None, date(1980, 12, 31), date(1960, 2, 29)],
        "seen": [datetime(2020, 1, 1, 8, 30), datetime(2020, 1, 2), None, datetime(2021, 5, 5, 23, 59, 59)],
    }
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": FRAME.write_csv,
    "a.tsv": lambda p: FRAME.write_csv(p, separator="\t"),
    "a.txt": lambda p: FRAME.write_csv(p, separator="|"),
    "semicolon.csv": lambda p: FRAME.write_csv(p, separator=";", decimal_comma=True),
    "a.csv.gz": lambda p: p.write_bytes(gzip.compress(FRAME.write_csv().encode())),
    "a.parquet": FRAME.write_parquet,
    "a.feather": FRAME.write_ipc,
    "stream.arrow": FRAME.write_ipc_stream,
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_format_gives_the_same_table(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    assert_frame_equal(read(tmp_path / name), FRAME)
    assert_frame_equal(read(str(tmp_path / name)), FRAME)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.parquet", "a.feather"])
def test_scanning_gives_the_same_table(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    assert_frame_equal(scan(tmp_path / name).collect(), FRAME)


def test_frames_and_arrays() -> None:
    assert_frame_equal(read(FRAME), FRAME)
    assert_frame_equal(read(FRAME.lazy()), FRAME)
    assert_frame_equal(scan(FRAME).collect(), FRAME)
    frame = read({"x": np.array([1.0, np.nan]), "n": np.array([1, 2]), "s": np.array(["a", "b"]), "l": [True, None]})
    assert frame.rows() == [(1.0, 1, "a", True), (None, 2, "b", None)]
    mixed = pd.DataFrame({"x": [1.0, np.nan], "c": pd.Categorical(["u", "v"]), 3: pd.to_datetime(["2020-01-01", None])})
    assert read(mixed).rows() == [(1.0, "u", datetime(2020, 1, 1)), (None, "v", None)]
    assert read(mixed).columns == ["x", "c", "3"]


def test_types_come_from_the_whole_column(tmp_path: Path) -> None:
    rows = ["1,1,x,007"] * 20000 + ["2.5,1e3,7,008"] * 2000
    frame = read(write(tmp_path / "a.csv", "a,b,c,zip\n" + "\n".join(rows) + "\n"))
    assert frame.dtypes == [pl.Float64, pl.Float64, pl.String, pl.String]
    assert frame["a"].sum() == 25000


def test_missing_words_are_null(tmp_path: Path) -> None:
    words = ["", "NA", "N/A", "NaN", "null", "None", "?", "-", ".", " nan "]
    content = "n,c\n" + "".join(f"{w},{w}\n" for w in words) + "1,x\n2,y\n"
    frame = read(write(tmp_path / "a.csv", content))
    assert frame["n"].to_list() == [None] * 10 + [1, 2]
    assert frame["c"].to_list() == [None] * 7 + ["-", ".", None, "x", "y"]  # a dash may be a category


def test_infinity_and_spaces_and_quotes(tmp_path: Path) -> None:
    content = 'x ,"y, z"\n 1,"a, b"\ninf,"c\nd"\n-inf , e\n'
    frame = read(write(tmp_path / "a.csv", content))
    assert frame.rows() == [(1.0, "a, b"), (float("inf"), "c\nd"), (float("-inf"), "e")]
    assert frame.columns == ["x", "y, z"]


def test_byte_order_mark_windows_and_macintosh_line_ends(tmp_path: Path) -> None:
    for content in (b"\xef\xbb\xbfa,b\n1,2\n", b"a,b\r\n1,2\r\n", b"a,b\r1,2\r"):
        assert read(write(tmp_path / "a.csv", content)).to_dict(as_series=False) == {"a": [1], "b": [2]}


def test_a_nameless_column_gets_a_name(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", ",x\n0,1\n")).columns == ["column_1", "x"]


def test_dates_in_one_form_are_dates_and_ambiguous_ones_text(tmp_path: Path) -> None:
    content = "iso,dots,zoned,slashes\n2020-02-03,3.2.2020,2020-02-03T04:05:06Z,01/02/2020\n2020-02-04,,,\n"
    frame = read(write(tmp_path / "a.csv", content))
    assert frame.dtypes == [pl.Date, pl.Date, pl.Datetime("us", "UTC"), pl.String]
    assert frame["dots"][0] == date(2020, 2, 3)


WRONG = {
    "empty": ("a.csv", b"", "the file is empty"),
    "blank": ("a.csv", b" \n\n", "the file is empty"),
    "header only": ("a.csv", b"a,b\n", "a header and no rows"),
    "duplicate names": ("a.csv", b"a,b,a\n1,2,3\n", "two columns are called 'a': columns 1 and 3"),
    "no header": ("a.csv", b"5,1,5\n1,2,3\n", "The first line looks like data"),
    "long row": ("a.csv", b"a,b\n1,2\n1,2,3\n", "line 3: expected 2 cells as in the header, found 3"),
    "short row": ("a.csv", b'a,b,c\n1,2,3\n"x\ny",2,3\n4,5\n', "line 5: expected 3 cells as in the header, found 2"),
    "latin-1": (
        "a.csv",
        "a,b\n1,2\n3,Zürich\n".encode("latin-1"),
        r"line 3: expected text in UTF-8, found the byte 0xFC",
    ),
    "utf-16": ("a.csv", "a,b\n1,2\n".encode("utf-16"), "looks like UTF-16"),
    "nul": ("a.csv", b"a,b\n1,\x00\n", "line 2 has a NUL byte"),
    "word among numbers": (
        "a.csv",
        b"n,m\n" + b"1,2\n" * 50 + b"7,ten\n" + b"1,2\n" * 9,
        "column 'm', row 51: expected a number, found 'ten'; 59 cells here are numbers, 1 are not",
    ),
    "unknown ending": ("a.xlsx", b"x", r"the ending '\.xlsx' is no known format"),
    "cut parquet": ("a.parquet", b"PAR1xxxx", "the file cannot be read"),
    "cut arrow": ("a.arrow", b"ARROW1xx", "the file cannot be read"),
    "cut gzip": ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99)[:-9], "no complete gzip"),
    "no gzip": ("a.csv.gz", b"a,b\n1,2\n", "no complete gzip"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_a_wrong_file_is_explained(case: str, tmp_path: Path) -> None:
    name, content, message = WRONG[case]
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    if name.endswith((".parquet", ".arrow")):
        with pytest.raises(DataError):
            scan(path)


def test_a_missing_file_offers_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "patients.csv", "a\n1\n")
    for reader in (read, scan):
        with pytest.raises(DataError, match=r"no such file\.\n.*Did you mean 'patients\.csv'"):
            reader(tmp_path / "pateints.csv")
        with pytest.raises(DataError, match="nor its folder"):
            reader(tmp_path / "nowhere" / "a.csv")
        with pytest.raises(DataError, match="found a folder"):
            reader(tmp_path)


def test_a_column_can_be_kept_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "age\n" + "\n".join(map(str, range(40))) + "\n90+\n")
    with pytest.raises(DataError, match=r"found '90\+'"):
        read(path)
    assert read(path, text=["age"])["age"].dtype == pl.String


def test_categories_with_some_digits_stay_categories(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "c\n" + "1\n2\n3+\n" * 30)
    assert read(path)["c"].unique().sort().to_list() == ["1", "2", "3+"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": [[1, 2], [3, 4]]}, "column 'a': expected an array of one dimension, found 2"),
        ({"a": [1, 2], "b": [1]}, "different lengths"),
        ({"a": np.array([1, "x", 2.0], object)}, "values of one type, found float, int, str"),
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (pd.DataFrame({"a": [1, "x", object()]}), "column 'a'"),
        (pl.DataFrame({"a": []}), "no rows"),
        (7, "found int"),
    ],
)
def test_wrong_objects_are_explained(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(source)


PIECES = b'a 1 2.5 , ; \t \n \r " NA \xc3\xbc \xff inf 1e999 2020-01-01 - . \x00 true'.split(b" ")
csv_like = st.lists(st.sampled_from([*PIECES, b" ", b","]), max_size=60).map(b"".join)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.one_of(st.binary(max_size=200), csv_like))
def test_any_bytes_are_a_table_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzz.csv", content)
    try:
        frame = read(path)
    except DataError as error:
        message = str(error)
    else:
        assert frame.height > 0
        assert len(set(frame.columns)) == frame.width > 0
        return
    assert str(path) in message
