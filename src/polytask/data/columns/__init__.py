"""The kinds of columns; their names are the ``kind`` in ``schema.json``."""

from polytask.catalogue import Catalogue
from polytask.data.columns.boolean import Boolean
from polytask.data.columns.categorical import Categorical
from polytask.data.columns.column import Column
from polytask.data.columns.datetime import Datetime
from polytask.data.columns.numeric import Numeric

COLUMNS: Catalogue[Column] = Catalogue(
    "column kind",
    Column,  # type: ignore[type-abstract]  # mypy refuses abstract bases as values
    {"numeric": Numeric, "categorical": Categorical, "boolean": Boolean, "datetime": Datetime},
    key="kind",
)
