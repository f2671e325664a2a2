"""`maildiag config`: the effective settings and where each comes from."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maildiag.settings import Acknowledgement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `config`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="read this configuration file as well")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def main(args: argparse.Namespace) -> int:
    """Print every setting; the exit status is 64 where a file has a mistake."""
    from maildiag.config import files, load

    loaded = load(args.config)
    rows = {key: (_plain(value), loaded.origins[key]) for key, value in _values(loaded.settings)}
    if args.json:
        print(json.dumps({key: {"value": value, "from": origin} for key, (value, origin) in rows.items()}, indent=2))
        return 0
    print("Read, later ones win:")
    for path in files(args.config):
        print(f"  {path}{'' if path.exists() else '  (not there)'}")
    print()
    shown = {key: json.dumps(value, ensure_ascii=False) for key, (value, _) in rows.items()}
    for key, (_, origin) in rows.items():
        print(f"{key} = {shown[key]}   # {origin}")
    for note in idle(loaded.settings.acknowledgements, datetime.now(UTC).date()):
        print(f"\nnote: {note}")
    return 0


def idle(acknowledgements: Iterable[Acknowledgement], today: date) -> Iterator[str]:
    """Why an acknowledgement does nothing: no finding has its id (a plug-in that is not here may), or it has expired."""
    from maildiag import registry

    checks = registry.load().checks
    for each in acknowledgements:
        if each.id not in checks and each.id != registry.PLUGIN:
            yield f"no check here is called {each.id!r}, which is acknowledged; a plug-in that is not installed may have it"
        elif each.expires < today:
            yield f"the acknowledgement of {each.id} has expired on {each.expires}"


def _values(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _values(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
