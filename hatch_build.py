"""Puts the runbook pages and the recorded incidents into the wheel; an editable install reads them where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SHIPPED = {"docs/runbook": "maildiag/runbook", "tests/bundles": "maildiag/incidents"}


class Shipped(BuildHookInterface):  # type: ignore[type-arg]
    """Static `force-include` would also copy them into an editable install, where they would go stale."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build; `version` is "standard" or "editable"."""
        if version == "standard":
            for source, target in _SHIPPED.items():
                if (Path(self.root) / source).is_dir():
                    build_data["force_include"][source] = target
