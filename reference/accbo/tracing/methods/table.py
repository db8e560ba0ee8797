"""The algorithms whose traces can be judged."""

from __future__ import annotations

from accbo.tracing.methods import accbo, linear, saba, sampled, vrbo
from accbo.tracing.methods.group import Group

METHODS: dict[str, tuple[Group, ...]] = {
    "AccBO": accbo.GROUPS,
    "SLIP": linear.SLIP,
    "BOREP": linear.BOREP,
    "MASOBA": linear.MASOBA,
    "SABA": saba.SABA,
    "TTSA": sampled.TTSA,
    "StocBiO": sampled.STOCBIO,
    "SUSTAIN": sampled.SUSTAIN,
    "VRBO": vrbo.VRBO,
}
