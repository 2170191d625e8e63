"""Samplers over sources by name."""

from polytask.catalogue import Catalogue
from polytask.data.sampling.annealed import Annealed
from polytask.data.sampling.power import Power
from polytask.data.sampling.proportional import Proportional
from polytask.data.sampling.round_robin import RoundRobin
from polytask.data.sampling.sampler import Sampler
from polytask.data.sampling.square_root import SquareRoot
from polytask.data.sampling.uniform import Uniform

SAMPLERS: Catalogue[Sampler] = Catalogue(
    "sampler",
    Sampler,  # type: ignore[type-abstract]  # mypy refuses abstract bases as values
    {
        "proportional": Proportional,
        "uniform": Uniform,
        "power": Power,
        "square_root": SquareRoot,
        "annealed": Annealed,
        "round_robin": RoundRobin,
    },
)
