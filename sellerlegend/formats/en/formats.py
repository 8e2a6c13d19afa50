"""How English pages write a moment: as Django does, without its "a.m.", after which the period of a
sentence would be a second one."""

from __future__ import annotations

DATETIME_FORMAT = "N j, Y, g:i A"
TIME_FORMAT = "g:i A"
