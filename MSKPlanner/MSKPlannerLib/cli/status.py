"""The exit statuses of `mskplanner`."""

from __future__ import annotations

DONE = 0
BUG = 1
WRONG_INPUT = 2
REJECTED = 3
CANCELLED = 130  # what a shell reports for an interrupted command
