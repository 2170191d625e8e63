"""Laws of every sampler, vectors of each, and the systematic draws behind them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import polytask.data.sampling as package
from polytask.data.sampling import SAMPLERS
from polytask.data.sampling.annealed import Annealed
from polytask.data.sampling.power import Power
from polytask.data.sampling.sampler import systematic
from polytask.errors import ConfigError

SIZES = np.array([100.0, 1000.0, 10000.0])
PALS = np.array([6680.0, 2865.0, 306798.0, 1945.0, 4491.0, 52616.0, 284257.0, 84715.0])
every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))


def test_the_catalogue_lists_the_folder() -> None:
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__", "sampler"}
    assert files == set(SAMPLERS), "add the import and a line to SAMPLERS in sampling/__init__.py"


@every_sampler
def test_probabilities_are_positive_and_sum_to_one(name: str) -> None:
    sampler = SAMPLERS.build(name)
    for sizes in ([5.0], [1.0, 1e9], [3.0, 3.0, 3.0], SIZES.tolist()):
        for epochs in (1, 2, 7):
            for epoch in range(epochs):
                p = sampler.probabilities(np.array(sizes), epoch, epochs)
                assert p.shape == (len(sizes),)
                assert (p > 0).all()
                np.testing.assert_allclose(p.sum(), 1.0, rtol=0, atol=1e-12)


@every_sampler
def test_larger_sources_are_never_drawn_less(name: str) -> None:
    p = SAMPLERS.build(name).probabilities(SIZES, 1, 3)
    assert (np.diff(p) >= -1e-15).all()


@every_sampler
def test_quota_is_the_expectation_up_to_one_slot_and_order_keeps_it(name: str) -> None:
    sampler = SAMPLERS.build(name)
    for slots in (1, 2, 17, 1000):
        rng = np.random.default_rng(slots)
        quota = sampler.quota(SIZES, slots, 0, 4, rng)
        assert quota.sum() == slots
        assert (np.abs(quota - slots * sampler.probabilities(SIZES, 0, 4)) < 1 + 1e-9).all()
        np.testing.assert_array_equal(np.bincount(sampler.order(quota, rng), minlength=3), quota)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "round_robin"])
def test_every_slot_is_drawn_with_the_probabilities(name: str) -> None:
    sampler = SAMPLERS.build(name)
    sizes = np.array([200.0, 300.0, 1500.0])
    for slot in (0, 6):
        drawn = []
        for seed in range(3000):
            rng = np.random.default_rng([slot, seed])
            drawn.append(sampler.order(sampler.quota(sizes, 7, 1, 3, rng), rng)[slot])
        expected = 3000 * sampler.probabilities(sizes, 1, 3)
        assert stats.chisquare(np.bincount(drawn, minlength=3), expected).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("proportional", [100 / 11100, 1000 / 11100, 10000 / 11100]),
        ("uniform", [1 / 3, 1 / 3, 1 / 3]),
        ("square_root", [0.07061011116965424, 0.22328877713380335, 0.7061011116965424]),
        ({"name": "power", "exponent": 0.3}, [0.14334176045197117, 0.28600441279111455, 0.5706538267569142]),
        ({"name": "power", "exponent": 0.75}, [0.026146395335801154, 0.14703198602085182, 0.826821618643347]),
        ("round_robin", [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_published_vectors(name: object, expected: list[float]) -> None:
    p = SAMPLERS.build(name).probabilities(SIZES, 0, 1)  # type: ignore[arg-type]  # names and mappings alike
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("epoch", "first", "last"),
    [
        (0, 0.00897406789930236, 0.11380810809721549),  # numbers printed in the authors' program
        (12, 0.03296359764962463, 0.151336928774463),
        (24, 0.0909961867844746, 0.1512376651690245),
    ],
)
def test_annealed_agrees_with_the_program_of_its_authors(epoch: int, first: float, last: float) -> None:
    p = Annealed().probabilities(PALS, epoch, 25)
    np.testing.assert_allclose(p[[0, -1]], [first, last], rtol=0, atol=1e-12)


def test_annealed_ends_at_a_fifth_and_survives_a_single_epoch() -> None:
    np.testing.assert_allclose(Annealed().probabilities(SIZES, 9, 10), Power(0.2).probabilities(SIZES, 0, 1))
    np.testing.assert_allclose(Annealed().probabilities(SIZES, 0, 1), SIZES / SIZES.sum())


def test_power_goes_from_uniform_to_proportional() -> None:
    np.testing.assert_allclose(Power(0.0).probabilities(SIZES, 0, 1), np.full(3, 1 / 3))
    np.testing.assert_allclose(Power(1.0).probabilities(SIZES, 0, 1), SIZES / SIZES.sum())


@pytest.mark.parametrize("config", [{"name": "power", "exponent": -1.0}, {"name": "annealed", "drop": 1.5}])
def test_impossible_hyperparameters_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        SAMPLERS.build(config)


def test_samplers_are_frozen_and_documented() -> None:
    for cls in map(SAMPLERS.find, SAMPLERS):
        assert dataclasses.is_dataclass(cls)
        for field in dataclasses.fields(cls):
            documented = field.name in (cls.__doc__ or "") or field.name == "mixed"
            assert documented, f"{cls.__name__}.{field.name}"


def test_systematic_draws_are_unbiased_and_within_one() -> None:
    expected = np.array([0.3, 0.3, 1.4, 2.0])
    drawn = np.array([systematic(expected, np.random.default_rng(seed)) for seed in range(4000)])
    assert (drawn.sum(1) == 4).all()
    assert (drawn >= np.floor(expected)).all()
    assert (drawn <= np.ceil(expected)).all()
    np.testing.assert_allclose(drawn.mean(0), expected, atol=4 * 0.5 / np.sqrt(4000))


def test_systematic_keeps_whole_expectations_despite_rounding() -> None:
    sizes = np.array([3.0, 7.0, 11.0, 123457.0])
    quota = systematic(sizes / sizes.sum() * sizes.sum(), np.random.default_rng(0))
    np.testing.assert_array_equal(quota, sizes)
