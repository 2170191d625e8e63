"""Ways of sharing an encoder between tasks, by configuration name."""

from polytask.catalogue import Catalogue
from polytask.nets.sharing.adapters import Adapters
from polytask.nets.sharing.adashare import AdaShare
from polytask.nets.sharing.aitm import AITM
from polytask.nets.sharing.cgc import CGC
from polytask.nets.sharing.cross_stitch import CrossStitch
from polytask.nets.sharing.dselect_k import DSelectK
from polytask.nets.sharing.esmm import ESMM
from polytask.nets.sharing.feature_subset import FeatureSubset
from polytask.nets.sharing.film import FiLM
from polytask.nets.sharing.hard import Hard
from polytask.nets.sharing.hierarchical import Hierarchical
from polytask.nets.sharing.lora import LoRA
from polytask.nets.sharing.ltb import LTB
from polytask.nets.sharing.mmoe import MMoE
from polytask.nets.sharing.mtan import MTAN
from polytask.nets.sharing.multi_level import MultiLevel
from polytask.nets.sharing.nddr import NDDR
from polytask.nets.sharing.ple import PLE
from polytask.nets.sharing.rotated import Rotated
from polytask.nets.sharing.shared_private import SharedPrivate
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.sluice import Sluice
from polytask.nets.sharing.soft import Soft
from polytask.nets.sharing.taps import TAPS
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
        "ltb": LTB,
        "adashare": AdaShare,
        "shared_private": SharedPrivate,
        "hierarchical": Hierarchical,
        "multi_level": MultiLevel,
        "feature_subset": FeatureSubset,
        "film": FiLM,
        "adapters": Adapters,
        "lora": LoRA,
        "taps": TAPS,
        "aitm": AITM,
        "esmm": ESMM,
        "rotograd": Rotated,
    },
)

__all__ = [
    "AITM",
    "CGC",
    "ESMM",
    "LTB",
    "MTAN",
    "NDDR",
    "PLE",
    "SHARING",
    "TAPS",
    "AdaShare",
    "Adapters",
    "CrossStitch",
    "DSelectK",
    "FeatureSubset",
    "FiLM",
    "Hard",
    "Hierarchical",
    "LoRA",
    "MMoE",
    "MultiLevel",
    "Representation",
    "Rotated",
    "Shared",
    "SharedPrivate",
    "Sharing",
    "Sluice",
    "Soft",
    "Towers",
]
