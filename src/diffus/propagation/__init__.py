"""Waves along a scanline: from impedances to the echoes a transducer receives."""

from diffus.propagation.echo import MODELS, echoes
from diffus.propagation.eligibility import BACKENDS, resolve_backend
from diffus.propagation.reflection import reflection, transmission, two_way_transmission

__all__ = [
    "BACKENDS",
    "MODELS",
    "echoes",
    "reflection",
    "resolve_backend",
    "transmission",
    "two_way_transmission",
]
