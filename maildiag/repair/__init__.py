"""Curing: the only part of maildiag that changes a host; always confirmed, saved first, verified, and undoable."""
