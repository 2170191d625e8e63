"""Ways to split a table, by name."""

from polytask.catalogue import Catalogue
from polytask.data.splits.group import Group
from polytask.data.splits.random import Random
from polytask.data.splits.split import Split
from polytask.data.splits.stratified import Stratified
from polytask.data.splits.time import Time

SPLITS: Catalogue[Split] = Catalogue(
    "split",
    Split,  # type: ignore[type-abstract]  # mypy refuses abstract bases as values
    {"random": Random, "stratified": Stratified, "group": Group, "time": Time},
)
