"""Ways of sharing an encoder between tasks, by configuration name."""

from polytask.catalogue import Catalogue
from polytask.nets.sharing.cgc import CGC
from polytask.nets.sharing.cross_stitch import CrossStitch
from polytask.nets.sharing.dselect_k import DSelectK
from polytask.nets.sharing.hard import Hard
from polytask.nets.sharing.mmoe import MMoE
from polytask.nets.sharing.mtan import MTAN
from polytask.nets.sharing.nddr import NDDR
from polytask.nets.sharing.ple import PLE
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.sluice import Sluice
from polytask.nets.sharing.soft import Soft
from polytask.nets.sharing.towers import Towers

SHARING: Catalogue[Sharing] = Catalogue(
    "way of sharing",
    Sharing,  # type: ignore[type-abstract]  # only subclass checks are made with it
    {
        "hard": Hard,
        "towers": Towers,
        "soft": Soft,
        "cross_stitch": CrossStitch,
        "sluice": Sluice,
        "nddr": NDDR,
        "mtan": MTAN,
        "mmoe": MMoE,
        "cgc": CGC,
        "ple": PLE,
        "dselect_k": DSelectK,
    },
)

__all__ = [
    "CGC",
    "MTAN",
    "NDDR",
    "PLE",
    "SHARING",
    "CrossStitch",
    "DSelectK",
    "Hard",
    "MMoE",
    "Representation",
    "Shared",
    "Sharing",
    "Sluice",
    "Soft",
    "Towers",
]
