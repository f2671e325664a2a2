"""The terminal that a command writes to."""

from __future__ import annotations

import os
import sys


def terminal_width() -> int:
    """Columns of the terminal on standard output (40 to 120); 0 where it is none: what is piped has a line for each thing."""
    if sys.stdout is None or not sys.stdout.isatty():
        return 0
    try:
        return min(120, max(40, os.get_terminal_size(sys.stdout.fileno()).columns or 80))
    except OSError:
        return 80
