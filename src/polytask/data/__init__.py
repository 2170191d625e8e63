"""Data: from tables of the user to batches of tensors."""

from polytask.data.batches import Batches
from polytask.data.columns import COLUMNS
from polytask.data.corpora import read_corpus
from polytask.data.division import split
from polytask.data.infer import Note
from polytask.data.leakage import check_leakage
from polytask.data.options import SchemaOptions
from polytask.data.pieces import Frame, sample
from polytask.data.sampling import SAMPLERS
from polytask.data.sampling.sampler import Sampler
from polytask.data.schema import Schema
from polytask.data.sources import Source, read, scan
from polytask.data.splits import SPLITS
from polytask.data.splits.split import Split
from polytask.data.table import Table
from polytask.data.text.schema import TextSchema
from polytask.data.token_batches import TokenBatches

__all__ = [
    "COLUMNS",
    "SAMPLERS",
    "SPLITS",
    "Batches",
    "Frame",
    "Note",
    "Sampler",
    "Schema",
    "SchemaOptions",
    "Source",
    "Split",
    "Table",
    "TextSchema",
    "TokenBatches",
    "check_leakage",
    "read",
    "read_corpus",
    "sample",
    "scan",
    "split",
]
