"""Reads the settings from TOML files; a mistake names file, line, key and the nearest valid key."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from maildiag.cli.errors import UsageError
from maildiag.nearest import hint, misspelt
from maildiag.records import dataclass
from maildiag.settings import Settings

SYSTEM = Path("/etc/maildiag/config.toml")
DEFAULT = "default"


class ConfigError(UsageError):
    """A mistake in a configuration file; the message begins with file and line."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings; `origins` tells for each dotted key where its value comes from."""

    settings: Settings
    origins: Mapping[str, str]


def files(extra: Path | None = None) -> list[Path]:
    """The files in the order in which later ones win; those that must exist are not checked here."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [SYSTEM, Path(home) / "maildiag" / "config.toml", *([extra] if extra else [])]


def load(extra: Path | None = None) -> Loaded:
    """The settings of all files, `extra` (which must exist) last. Raises ConfigError."""
    settings, origins = Settings(), dict.fromkeys(_keys(Settings()), DEFAULT)
    for path in files(extra):
        text = _read(path, must=path == extra)
        if text is not None:
            settings = _Reader(str(path), text).merge(settings, origins)
    return Loaded(settings, origins)


def _read(path: Path, must: bool) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if must:
            raise ConfigError(f"{path}: there is no such file") from error
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _keys(value: Any, prefix: str = "") -> list[str]:
    """The dotted names of every setting."""
    found = []
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        name = prefix + field.name
        found += _keys(inner, name + ".") if dataclasses.is_dataclass(inner) else [name]
    return found


class _Reader:
    """One file: its text for line numbers, its values for the settings."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text
        try:
            self._values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error), re.DOTALL)
            where = f"{path}:{place[2]}: {place[1]} (column {place[3]})" if place else f"{path}: {error}"
            raise ConfigError(where) from error

    def merge(self, settings: Settings, origins: dict[str, str]) -> Settings:
        """The settings with those of this file put over them."""
        merged: Settings = self._table(settings, self._values, (), origins)
        return merged

    def _table(self, target: Any, values: Mapping[str, Any], path: tuple[str, ...], origins: dict[str, str]) -> Any:
        hints = typing.get_type_hints(type(target))
        changed = {}
        for key, value in values.items():
            here = (*path, key)
            if key not in hints:
                raise self._wrong(here, f"there is no setting {key!r}{hint(key, hints)}")
            inner = getattr(target, key)
            if dataclasses.is_dataclass(inner):
                if not isinstance(value, dict):
                    raise self._wrong(here, f"{key} is a table: [{'.'.join(here)}]")
                changed[key] = self._table(inner, value, here, origins)
            else:
                changed[key] = self._value(hints[key], value, here)
                origins[".".join(here)] = f"{self._path}:{self._line(here)}"
        return dataclasses.replace(target, **changed)

    def _value(self, wanted: Any, value: Any, path: tuple[str, ...], number: int = 0) -> Any:
        if typing.get_origin(wanted) is tuple:
            return self._list(typing.get_args(wanted)[0], value, path)
        if typing.get_origin(wanted) is Mapping:
            return self._words(value, path)
        if isinstance(wanted, types.UnionType):
            wanted = next(each for each in typing.get_args(wanted) if each is not type(None))
        if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
            return self._record(wanted, value, path, number)
        if isinstance(wanted, type) and issubclass(wanted, StrEnum):
            return self._word(wanted, value, path)
        return self._plain(wanted, value, path)

    def _list(self, inner: Any, value: Any, path: tuple[str, ...]) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise self._wrong(path, f"{path[-1]} must be a list")
        found = tuple(self._value(inner, each, path, number) for number, each in enumerate(value))
        self._check_items(path, found)
        return found

    def _check_items(self, path: tuple[str, ...], found: tuple[Any, ...]) -> None:
        if path == ("acknowledgements",):
            self._check_ids(tuple(each.id for each in found))
        for each in found:
            if path == ("ports",) and not 0 < each < 65536:
                raise self._wrong(path, f"{each} is no port number")
            if path == ("client_networks",):
                try:
                    ipaddress.ip_network(each)
                except ValueError as error:
                    raise self._wrong(path, str(error)) from error

    def _check_ids(self, ids: tuple[str, ...]) -> None:
        """An id that is near to a known one is a mistake. One that is like none may be a plug-in's that other hosts have."""
        from maildiag import registry

        known = [*registry.load().checks, registry.PLUGIN]
        for number, each in enumerate(ids):
            meant = misspelt(each, known)
            if meant or "." not in each:
                path = ("acknowledgements", "id")
                raise self._wrong(
                    path, f"no finding is called {each!r}{f', did you mean {meant}?' if meant else ''}", number
                )

    def _record(self, wanted: type, value: Any, path: tuple[str, ...], number: int) -> Any:
        """A table of a list of tables: `[[acknowledgements]]`."""
        if not isinstance(value, dict):
            raise self._wrong(path, f"each of {path[-1]} is a table: [[{path[-1]}]]")
        hints = typing.get_type_hints(wanted)
        for key in value:
            if key not in hints:
                raise self._wrong((*path, key), f"there is no setting {key!r}{hint(key, hints)}", number)
        for field in dataclasses.fields(wanted):
            if field.default is dataclasses.MISSING and field.name not in value:
                raise self._wrong(path, f"[[{path[-1]}]] needs {field.name}", number)
        read = {key: self._value(hints[key], each, (*path, key), number) for key, each in value.items()}
        return wanted(**read)

    def _words(self, value: Any, path: tuple[str, ...]) -> Mapping[str, str]:
        """A table whose keys are names and not settings: `[tui.keys]`."""
        if not isinstance(value, dict):
            raise self._wrong(path, f"{path[-1]} is a table: [{'.'.join(path)}]")
        return {key: self._plain(str, each, (*path, key)) for key, each in value.items()}

    def _word(self, wanted: type[StrEnum], value: Any, path: tuple[str, ...]) -> StrEnum:
        known = [each.value for each in wanted]
        if value not in known:
            raise self._wrong(path, f"{value!r} is none of {', '.join(known)}{hint(str(value), known)}")
        return wanted(value)

    def _plain(self, wanted: Any, value: Any, path: tuple[str, ...]) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if wanted is float and number:
            fits = value >= 0 and (path != ("timeout",) or 0 < value < 86400)
            fits = fits and (path[-1] not in _SHARES or value <= 100)
            if not fits:
                raise self._wrong(path, f"{path[-1]} = {value} is out of range")
            return float(value)
        if wanted is date and isinstance(value, datetime):
            return value.date()
        right = number and isinstance(value, int) and value >= 0 if wanted is int else isinstance(value, wanted)
        if not right:
            raise self._wrong(path, f"{path[-1]} must be {_NAMES.get(wanted, wanted.__name__)}, not {value!r}")
        return value

    def _wrong(self, path: tuple[str, ...], message: str, number: int = 0) -> ConfigError:
        return ConfigError(f"{self._path}:{self._line(path, number)}: {message}")

    def _line(self, path: tuple[str, ...], number: int = 0) -> int:
        """The line that sets the key (in the table of that number, for a list of tables), from 1."""
        table: tuple[str, ...] = ()
        seen, best = -1, 1
        for place, line in enumerate(self._text.splitlines(), 1):
            head = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
            if head:
                table = tuple(_unquoted(part) for part in head[1].split("."))
                seen = seen + 1 if table == path[: len(table)] and line.lstrip().startswith("[[") else seen
                if table == path and (seen < 0 or seen == number):
                    best = place
            key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
            if key and (*table, *(_unquoted(part) for part in key[1].split("."))) == path and seen in (-1, number):
                return place
        return best


_SHARES = frozenset({"disk_free_percent", "delivery_drop_percent"})
_NAMES = {str: "text in quotes", int: "a whole number", float: "a number", date: "a date like 2026-12-31"}


def _unquoted(word: str) -> str:
    return word.strip().strip("\"'")
