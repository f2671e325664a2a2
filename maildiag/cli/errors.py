"""How a command ends early: the caller's mistake, or an output that could not be written."""

from __future__ import annotations


class UsageError(Exception):
    """The command line or the configuration is wrong: one line that says how, exit 64."""


class OutputError(Exception):
    """The result could not be written: one line that says why, exit 70."""
