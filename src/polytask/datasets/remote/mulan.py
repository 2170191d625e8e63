"""Mulan's multi-target regression sets: fourteen small tables with two to sixteen targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from polytask.datasets.arff import read_arff
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.tasks.count import Count
from polytask.tasks.regression import Regression

ADDRESS = "https://raw.githubusercontent.com/tsoumakas/mulan"
FIRST = "49efcccb0666c59f57d942c13c6184af028c7650"
SECOND = "122fce8fbefdb292ba3acbb03867a7fc8f1dcaa9"

COUNTS = frozenset({"sf1", "sf2"})
"""Sets whose targets are counts; in all others they are treated as real numbers, as the literature does."""


@dataclass(frozen=True)
class Member:
    """One set of the collection.

    :param targets: how many of the last columns are targets.
    :param commit: the commit that the file was published in.
    :param sha256: digest of the official file.
    :param copy: digest of its compressed copy.
    """

    name: str
    title: str
    targets: int
    commit: str
    sha256: str
    copy: str

    @property
    def entry(self) -> Remote:
        """The catalogue line."""
        file = File(
            f"{self.name}.arff",
            f"{ADDRESS}/{self.commit}/data/multi-target/{self.name}.arff",
            self.sha256,
            (Copy(f"mulan_mtr/{self.name}.arff.gz", self.copy),),
        )
        return Remote(origin(self), (file,), partial(read, self))


def read(member: Member, files: Mapping[str, Path]) -> Dataset:
    """One set: the last columns are the targets."""
    frame = read_arff(files[f"{member.name}.arff"])
    frame = frame.rename({column: column.replace("/", " ") for column in frame.columns})  # "/" is no part of task names
    features, targets = frame.columns[: -member.targets], frame.columns[-member.targets :]
    kind = Count if member.name in COUNTS else Regression
    tasks = tuple(kind(column) for column in targets)
    return Dataset(f"mulan/{member.name}", frame, tasks, tuple(features), origin(member))


def origin(member: Member) -> Origin:
    """What is known of one set before it is read."""
    return Origin(
        name=f"mulan/{member.name}",
        title=f"{member.title[0].upper()}{member.title[1:]}",
        source="Mulan, https://github.com/tsoumakas/mulan, data/multi-target",
        licence="None stated for the data (the library is under GPL-3)",
        attribution="E. Spyromitros-Xioufis, G. Tsoumakas, W. Groves, I. Vlahavas. Multi-target regression via input "
        "space expansion. Machine Learning 2016.",
        collection="See the table of sources beside the files.",
        notes=(
            ("The two solar flare sections are those of UCI; `solar_flare` is the second one again.",)
            if member.name in COUNTS
            else ()
        ),
    )


MEMBERS = (
    Member(
        "andro",
        "water quality of Thermaikos Gulf, six variables five days ahead",
        6,
        FIRST,
        "08f0e2757b2a7635136ac58ea76c4e801ffeb0a81116b29e6ac169228c8aa132",
        "1afc79ca7d4cad077d625915e49cdd1f9148bd5d0283694e351c81330c45cb4b",
    ),
    Member(
        "atp1d",
        "lowest airline ticket prices of the next day, six preferences",
        6,
        SECOND,
        "ed935ba476c4994ba40d6712d590fb389709cceba7cf7dbbb33ef28c84762bb9",
        "8bf33ae1f9515e970bb06e44eca431fcf79231618369cb4ec5bb2b9ec1400f0b",
    ),
    Member(
        "atp7d",
        "lowest airline ticket prices of the next week, six preferences",
        6,
        SECOND,
        "77d59efdf4a6329c71c854684de7409d0d61d3bebccd6821ae268c1620c95b2d",
        "09197229b5c55035d4ecc2988fefd5e8caa015494ff3a2b92aef1e28f0dffa4a",
    ),
    Member(
        "edm",
        "electrical discharge machining: two settings of the operator",
        2,
        FIRST,
        "37777374030f592a53cbcf597ae0aa6105238a1c696dd04ccb229be982f6bc5b",
        "7848bc790b6ba59b8a7c3b4b2b9a0764c138ac7074922f514dd505cdc73fefc5",
    ),
    Member(
        "enb",
        "energy efficiency of buildings: heating and cooling load",
        2,
        FIRST,
        "8277d9094ccda6da2cd1c2b79c90ca201fa3695e75aca173ffc43138dcab0071",
        "013ea3407e3ba3a1ceed3e39106043d1d0dd5dd3b75dc45c1dfc9a19f4faaea6",
    ),
    Member(
        "jura",
        "three heavy metals in the soil of the Swiss Jura",
        3,
        SECOND,
        "78ce7655f49073e3622ef7ba25657b3900a2b279ba3d48cb82e353e56bac3d2a",
        "dab7c778e0fc5418477b4658c168ecad9499ceb3926ea8cdbf5950da5dad1c2f",
    ),
    Member(
        "oes10",
        "employment in sixteen occupations, US cities 2010",
        16,
        SECOND,
        "37f9fa429f6f2ece2cdfd08e84649971e61ee0b4e75d66166c082bacf3d36251",
        "0af254520d371c79c2555331856ad5b865b9209c9bb33ec5c1cfb147648557ac",
    ),
    Member(
        "oes97",
        "employment in sixteen occupations, US cities 1997",
        16,
        SECOND,
        "aee74aa656c709f797f45d817c41996be94c2e924c0f1e7ad315fb7e2f1a9498",
        "fa3c593ac06ef054399b02e9c042f32fc676bb6228031523e5f659f53b80aa00",
    ),
    Member(
        "osales",
        "online product sales in the twelve months after launch",
        12,
        SECOND,
        "c9c656c7e0131ad1c3f427cea7828f2ed315ec80da6d6f43c05b40b87257efe5",
        "b2d57591fde038dda4f3ddf2e27f475cf1b795b44f870805a7728421a4e46677",
    ),
    Member(
        "scpf",
        "views, votes and comments on issues reported to a city",
        3,
        FIRST,
        "f7d3c7b134c0e5ddff56a7900371cb44328f9b7f550203c4a556929203ea81e9",
        "6a8c2dce34c88714e55fa110fb5ba849c1a1c08c24fd1f62221a9bd196659669",
    ),
    Member(
        "sf1",
        "solar flares of three classes, first section",
        3,
        SECOND,
        "8f78e64aca64f7c0c7ba4d9b2f114feb2a6f72e6116e87d7dab94e7cab426d93",
        "035c756dc47f8441c48ae306defc45d5c16bccbe81f8227c75b8e2d2bffa1e37",
    ),
    Member(
        "sf2",
        "solar flares of three classes, second section",
        3,
        SECOND,
        "2c1ac60f3e612b0e0bc9884ffe98a205ce07ca83f3f89c019220fde350396795",
        "0bce70cf1cea5b7924fe2732e7ef16973bfa50c17fc0a856f81127b01c8c2089",
    ),
    Member(
        "slump",
        "concrete: slump, flow and strength",
        3,
        SECOND,
        "3a9a9eba416b06c7668153b44073a0e165afbfc9e526d53b174e5f97a707ca6c",
        "678be0cff86960e4960873676107aef50887232a8c9d3846e41fcb6b5b5ba6ad",
    ),
    Member(
        "wq",
        "fourteen bioindicator species in Slovenian rivers",
        14,
        FIRST,
        "4a0906b4a51bf52c986790ddaf261ba51faa3da9cffe823badabd88d38d252fe",
        "3eabe4d1fa5a4c3d51d8eddbee3c3d3ee79746c4856c9aa197cdd5560190e450",
    ),
)

ENTRIES = {f"mulan/{member.name}": member.entry for member in MEMBERS}
