"""BiRefNet, DBNet and their parts: what is trained. Nothing here knows of losses."""

from models.birefnet import BiRefNet, BiRefNetOutput
from models.dbnet import DBNet, DBOutput
from models.initialise import initialise
from models.official import export_official, load_official

__all__ = [
    "BiRefNet",
    "BiRefNetOutput",
    "DBNet",
    "DBOutput",
    "export_official",
    "initialise",
    "load_official",
]
