"""Ways of sharing an encoder between tasks, by configuration name."""

from polytask.catalogue import Catalogue
from polytask.nets.sharing.hard import Hard
from polytask.nets.sharing.sharing import Representation, Shared, Sharing

SHARING: Catalogue[Sharing] = Catalogue(
    "way of sharing",
    Sharing,  # type: ignore[type-abstract]  # only subclass checks are made with it
    {
        "hard": Hard,
    },
)

__all__ = ["SHARING", "Hard", "Representation", "Shared", "Sharing"]
