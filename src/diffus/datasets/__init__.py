"""Data to start from without any download."""

from diffus.datasets.example import example_brain

__all__ = ["example_brain"]
