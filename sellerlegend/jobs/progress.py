"""When this worker last claimed anything, across all processes of its pool.

The word is shared memory that the pool's processes inherit: Celery's `ping` is answered by a
worker that has stopped taking messages, so only claims count as a sign of life.
"""

from __future__ import annotations

import mmap
import struct
import time

_WORD = struct.Struct("d")
_memory = mmap.mmap(-1, _WORD.size)


def note_claim() -> None:
    _WORD.pack_into(_memory, 0, time.monotonic())


def last_claim() -> float:
    """By the monotonic clock, which all processes of a machine share; 0.0 when never."""
    found: float = _WORD.unpack_from(_memory, 0)[0]
    return found
