"""A token bucket: how often a client may ask."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Holds up to a number of tokens, refilled at a steady rate; each request takes one.

    Args:
        per_second: tokens that come in a second.
        burst: tokens it holds at most, and at the start.
        clock: seconds that only grow.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._tokens, self._seen = burst, clock()

    def take(self) -> float:
        """Take a token; seconds to wait until it is there, 0 if it is there now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._per_second)
        self._seen = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)

    def try_take(self) -> bool:
        """Take a token if there is one."""
        if self.take() == 0:
            return True
        self._tokens += 1
        return False
