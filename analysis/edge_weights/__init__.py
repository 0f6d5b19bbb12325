"""Edge weights: where they are, and what their knobs do; see `python -m analysis.edge_weights`."""

from analysis.edge_weights.figures import borders, profiles, schedules, sizes, weight_maps
from analysis.edge_weights.measure import (
    SIZES,
    edge_share,
    profile,
    settings,
    signed_distance,
    weights,
)

__all__ = [
    "SIZES",
    "borders",
    "edge_share",
    "profile",
    "profiles",
    "schedules",
    "settings",
    "signed_distance",
    "sizes",
    "weight_maps",
    "weights",
]
