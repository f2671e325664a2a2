"""Turns probes, readings and gaps into JSON and back, by their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from maildiag import model, probes

_TYPE = "_"


@cache
def _types() -> dict[str, type]:
    found = {}
    for module in (model, probes):
        for name, value in vars(module).items():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                found[name] = value
    return found


def encode(value: Any) -> Any:
    """A value of the model as JSON; a dataclass carries its type's name, and fields with their default are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        kept = {name: each for name, each in kept.items() if not _is_default(type(value), name, each)}
        return {_TYPE: type(value).__name__} | {name: encode(each) for name, each in kept.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [encode(each) for each in value]
    return value


def decode(value: Any, more: Mapping[str, type] = MappingProxyType({})) -> Any:
    """What `encode` was given; `more` are types besides those of the model that the outermost value may have.

    Raises KeyError, TypeError or ValueError for what `encode` cannot have made.
    """
    name = value[_TYPE]
    cls = more[name] if name in more else _types()[name]
    hints = _hints(cls)
    return cls(**{name: _restore(each, hints[name]) for name, each in value.items() if name != _TYPE})


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _defaults(cls: type) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(cls)}


def _is_default(cls: type, name: str, value: Any) -> bool:
    default = _defaults(cls)[name]
    return type(default) is type(value) and bool(default == value)


def _restore(value: Any, hint: Any) -> Any:
    if isinstance(value, dict) and _TYPE in value:
        return decode(value)
    if isinstance(hint, TypeVar) and isinstance(value, list):
        return tuple(_restore(each, hint) for each in value)
    origin = typing.get_origin(hint)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_restore(each, inner) for each in value)
    if origin in (types.UnionType, typing.Union):
        inner = next(each for each in typing.get_args(hint) if each is not type(None))
        return None if value is None else _restore(value, inner)
    if isinstance(hint, type) and issubclass(hint, datetime):
        return datetime.fromisoformat(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value
