"""Fixes, undo and their safety, on real files with real programs."""
