"""Figures of the sets to be fetched, from small files in the official form and from local copies."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polytask.datasets import fetch
from polytask.datasets.remote import adult, beijing, heart, parkinsons, sarcos, vader
from polytask.errors import DataError

local = pytest.mark.skipif(not os.environ.get("POLYTASK_DATA"), reason="POLYTASK_DATA is not set")

ADULT = """39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, \
United-States, <=50K
54, ?, 180211, Some-college, 10, Married-civ-spouse, ?, Husband, Asian-Pac-Islander, Male, 0, 0, 60, South, >50K

"""


def test_adult_in_the_official_form(tmp_path):
    train, test = tmp_path / "adult.data", tmp_path / "adult.test"
    train.write_text(ADULT)
    test.write_text("|1x3 Cross validator\n" + ADULT.replace("50K\n", "50K.\n"))
    data = adult.read({"adult.data": train, "adult.test": test})
    assert data.train.equals(data.test)
    assert data.train["income_over_50k"].to_list() == [0, 1]
    assert data.train["never_married"].to_list() == [1, 0]
    assert data.train["workclass"].to_list() == ["State-gov", None]
    assert not {"income", "marital_status", "relationship"} & set(data.frame.columns)


def test_heart_in_the_official_form(tmp_path):
    files = {}
    for site in heart.SITES:
        path = tmp_path / f"processed.{site}.data"
        path.write_text(
            "63.0,1.0,1.0,145.0,0,1.0,2.0,150.0,0.0,2.3,3.0,?,6.0,0\n67,1,4,160,286,0,2,108,1,1.5,2,3,3,2\n"
        )
        files[path.name] = path
    data = heart.read(files)
    assert data.frame.height == 8
    assert data.sources["va"]["disease_va"].to_list() == [0, 1]
    assert data.sources["va"]["ca"].to_list() == [None, 3.0]
    assert data.sources["va"]["chol"].to_list() == [None, 286.0]
    assert data.frame["disease_va"].null_count() == 6
    assert [facts.missing for facts in data.card.tasks] == [0.0] * 4


def test_beijing_in_the_official_form(tmp_path):
    head = "No,year,month,day,hour,PM2.5,PM10,SO2,NO2,CO,O3,TEMP,PRES,DEWP,RAIN,wd,WSPM,station\n"
    path = tmp_path / beijing.ARCHIVE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/b.csv", head + "1,2013,3,1,0,4,4,4,7,300,77,-0.7,1023,-18.8,0,NNW,4.4,B\n")
        archive.writestr("folder/a.csv", head + "1,2013,3,1,5,NA,4,4,7,300,77,-0.7,1023,-18.8,0,NA,4.4,A\n")
    frame = beijing.read({beijing.ARCHIVE: path}).frame
    assert frame["station"].to_list() == ["A", "B"]
    assert frame["pm2_5"].to_list() == [None, 4.0]
    assert frame["weekday"].to_list() == [5, 5]  # 1 March 2013 was a Friday
    assert frame["time"].dt.hour().to_list() == [5, 0]


def test_parkinsons_in_the_official_form(tmp_path):
    path = tmp_path / "parkinsons_updrs.data"
    path.write_text("subject#,age,sex,test_time,motor_UPDRS,total_UPDRS,Jitter(%)\n1,72,0,5.6,28.199,34.398,0.00662\n")
    data = parkinsons.read({"parkinsons_updrs.data": path})
    assert data.features == ("age", "sex", "Jitter(%)")
    assert data.frame["motor_updrs"].to_list() == [28.199]
    path.write_text("age\n1\n")
    with pytest.raises(DataError, match="subject#"):
        parkinsons.read({"parkinsons_updrs.data": path})


def test_sarcos_from_matlab_and_from_its_copy(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    table = np.arange(56.0).reshape(2, 28)
    savemat(tmp_path / "a.mat", {"sarcos_inv_test": table})
    np.savez(tmp_path / "a.npz", X=table[:, :21], Y=table[:, 21:])
    frames = [sarcos.read({"sarcos_inv_test.mat": tmp_path / name}).frame for name in ("a.mat", "a.npz")]
    assert frames[0].equals(frames[1])
    assert frames[0].row(1) == tuple(range(28, 56))
    savemat(tmp_path / "b.mat", {"sarcos_inv_test": table[:, :5]})
    with pytest.raises(DataError, match="expected 28 columns"):
        sarcos.read({"sarcos_inv_test.mat": tmp_path / "b.mat"})


@local
def test_adult_figures():
    data = fetch("adult")
    assert (data.train.height, data.test.height) == (32_561, 16_281)
    assert data.train["income_over_50k"].mean() == pytest.approx(0.241, abs=5e-4)
    assert data.train["never_married"].mean() == pytest.approx(0.328, abs=5e-4)
    assert data.train.select("workclass", "occupation", "native_country").null_count().row(0) == (1_836, 1_843, 583)


@local
def test_heart_figures():
    data = fetch("heart")
    assert {site: table.height for site, table in data.sources.items()} == {
        "cleveland": 303,
        "hungarian": 294,
        "switzerland": 123,
        "va": 200,
    }
    missing = data.frame.select(pl.col("ca", "thal", "slope").is_null().mean() * 100).row(0)
    assert missing == pytest.approx((66.4, 52.8, 33.6), abs=0.05)


@local
def test_beijing_figures():
    card = fetch("beijing").card
    assert card.rows == 420_768
    shares = [round(100 * task.missing, 2) for task in card.tasks]
    assert shares == [2.08, 1.53, 2.14, 2.88, 4.92, 3.16]


@local
def test_sarcos_figures():
    data = fetch("sarcos")
    assert data.frame.height == data.frame.unique().height == 4_449
    deviations = data.frame.select(data.targets).std().row(0)
    assert deviations == pytest.approx((20.35, 14.90, 9.95, 13.76, 0.97, 1.71, 2.59), abs=0.006)


@local
def test_parkinsons_figures():
    data = fetch("parkinsons")
    assert data.frame.height == 5_875
    sizes = data.frame["subject"].value_counts()["count"]
    assert (len(sizes), sizes.min(), sizes.max()) == (42, 101, 168)


@local
@pytest.mark.parametrize(
    ("name", "rows", "features", "targets"),
    [
        ("andro", 49, 30, 6),
        ("atp1d", 337, 411, 6),
        ("atp7d", 296, 411, 6),
        ("edm", 154, 16, 2),
        ("enb", 768, 8, 2),
        ("jura", 359, 15, 3),
        ("oes10", 403, 298, 16),
        ("oes97", 334, 263, 16),
        ("osales", 639, 401, 12),
        ("scpf", 1137, 23, 3),
        ("sf1", 323, 10, 3),
        ("sf2", 1066, 10, 3),
        ("slump", 103, 7, 3),
        ("wq", 1060, 16, 14),
    ],
)
def test_mulan_figures(name, rows, features, targets):
    data = fetch(f"mulan/{name}")
    assert (data.frame.height, len(data.features), len(data.tasks)) == (rows, features, targets)


@local
@pytest.mark.parametrize(
    ("name", "rows", "parts"),
    [
        ("snips", 14_484, (13_084, 700, 700)),
        ("ud_ewt", 16_622, (12_544, 2_001, 2_077)),
        ("wnut17", 5_690, (3_394, 1_009, 1_287)),
    ],
)
def test_corpora_have_the_published_numbers_of_sentences(name: str, rows: int, parts: tuple[int, int, int]) -> None:
    data = fetch(name)
    assert data.frame.height == rows
    assert data.validation is not None
    assert (data.train.height, data.validation.height, data.test.height) == parts
    for task in data.tasks:
        for column in task.columns:
            lists = data.frame[column]
            if lists.dtype == pl.List:  # a label per word
                assert (lists.list.len() == data.frame["words"].list.len()).all()


@local
def test_names_of_the_treebank_are_those_that_its_card_counts() -> None:
    data = fetch("uner_ewt")
    begins = data.frame["ner"].explode().str.slice(0, 5)
    counts = dict(begins.filter(begins.str.starts_with("B-")).value_counts().iter_rows())
    assert counts == {"B-LOC": 399, "B-PER": 343, "B-ORG": 224}


def test_rated_texts_are_read_from_the_archive(tmp_path: Path) -> None:
    """An archive of the same build; the original is 2.5 MB and not among the local copies."""
    inner, outer = io.BytesIO(), tmp_path / "vader" / vader.ARCHIVE
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for kind in vader.KINDS:
            content = f"1_1\t2.5\tgood {kind}\n2\t-1.25\tnot\tgood\n".encode()
            member = tarfile.TarInfo(f"hutto_ICWSM_2014/{kind}_GroundTruth.txt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    outer.parent.mkdir()
    with tarfile.open(outer, "w:gz") as archive:
        member = tarfile.TarInfo(vader.INSIDE)
        member.size = len(inner.getvalue())
        archive.addfile(member, io.BytesIO(inner.getvalue()))
    data = vader.read({vader.ARCHIVE: outer})
    assert data.frame.filter(pl.col("collection") == "tweets").rows() == [
        ("good tweets", 2.5, "tweets"),
        ("not\tgood", -1.25, "tweets"),
    ]
    outer.write_bytes(b"no archive")
    with pytest.raises(DataError, match="rated texts"):
        vader.read({vader.ARCHIVE: outer})
