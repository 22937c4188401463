"""Where a request's random numbers come from: its rollout, never when it came.

Many episodes are in flight, and which of them asks first is up to the machine. So each
reply is drawn by the rollout that asks, by the prompt, and by how often that rollout
has asked it: not by a count of all its calls, as nested agents may ask side by side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence

import numpy as np

MOST_ROLLOUTS = 4096
"""Rollouts whose prompts are known; those that were silent the longest go first."""


class Draws:
    """Names the draw of each request."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, Counter[bytes]] = OrderedDict()

    def next(self, rollout: str, prompt: Sequence[int]) -> bytes:
        """The draw of the rollout's next reply to a prompt: 16 bytes.

        Args:
            rollout: Its id, the same in each run that is to draw the same.
            prompt: Token ids.
        """
        counts = self._asked.setdefault(rollout, Counter())
        self._asked.move_to_end(rollout)
        if len(self._asked) > MOST_ROLLOUTS:
            self._asked.popitem(last=False)
        asked = _digest(np.asarray(prompt, dtype=np.int32).tobytes())
        counts[asked] += 1
        return _digest(asked, f"{counts[asked]} {rollout}".encode())


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()
