"""A runnable fake Amazon for development and tests; it never ships and imports no product code."""

from __future__ import annotations

from tests.amazon_emulator.faults import Fault
from tests.amazon_emulator.running import RunningEmulator, running_emulator

__all__ = ["Fault", "RunningEmulator", "running_emulator"]
