"""BiRefNet and its parts: what is trained. Nothing here knows of losses."""

from models.birefnet import BiRefNet, BiRefNetOutput
from models.initialise import initialise

__all__ = ["BiRefNet", "BiRefNetOutput", "initialise"]
