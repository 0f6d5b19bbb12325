"""BiRefNet and its parts: what is trained. Nothing here knows of losses."""

from models.birefnet import BiRefNet, BiRefNetOutput
from models.initialise import initialise
from models.official import export_official, load_official

__all__ = ["BiRefNet", "BiRefNetOutput", "export_official", "initialise", "load_official"]
