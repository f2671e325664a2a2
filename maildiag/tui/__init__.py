"""The interactive application: a reader of the engine's events; only this package imports Textual."""
