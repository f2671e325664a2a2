"""Dataclasses that are quick to define: what they need methods for is made when it is first used.

`dataclasses.dataclass` compiles six methods for each class, a millisecond in all, and a run defines some 260 classes. Here
`__init__` is compiled at the first call, and the others are shared. The meaning is that of the standard library's, which
type checkers and `dataclasses.fields`, `replace` and `asdict` see; only `order` and `unsafe_hash` are not there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False):
        """Make a dataclass; see `dataclasses.dataclass` for the arguments."""

        def made(cls):
            return _made(cls, frozen=frozen, slots=slots, kw_only=kw_only)

        return made if cls is None else made(cls)


__all__ = ["dataclass"]

_UNSET = object()
_Getter = Callable[[Any], tuple[Any, ...]]


def _made(cls: type, *, frozen: bool, slots: bool, kw_only: bool) -> type:
    # without a docstring the standard library would write one, by way of `inspect.signature`
    cls.__doc__ = cls.__doc__ or cls.__name__
    own = frozenset(vars(cls))
    # a frozen class may only be derived from frozen ones: those pay for compiled methods
    derived = frozen and any(hasattr(base, "__dataclass_params__") for base in cls.__mro__[1:])
    new: Any = dataclasses.dataclass(
        cls, init=False, repr=False, eq=False, frozen=derived, slots=slots, kw_only=kw_only
    )
    params = new.__dataclass_params__
    params.init, params.repr, params.eq, params.frozen = True, True, True, frozen
    methods: dict[str, Any] = {"__init__": _first_init(new), "__repr__": _repr, "__eq__": _equal, "__hash__": None}
    if frozen:
        methods |= {"__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse}
        if slots:
            methods |= {"__getstate__": _state, "__setstate__": _restore}
    for name, method in methods.items():
        if name not in own:
            setattr(new, name, method)
    return new  # type: ignore[no-any-return]


def _first_init(cls: type) -> Callable[..., None]:
    """An `__init__` that puts the compiled one in its own place."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made = _compiled_init(cls)
        cls.__init__ = made  # type: ignore[misc]
        made(self, *args, **kwargs)

    return init


def _compiled_init(cls: Any) -> Callable[..., None]:
    names: dict[str, Any] = {"_set": object.__setattr__, "_unset": _UNSET}
    frozen = cls.__dataclass_params__.frozen
    positional, by_name, body = ["self"], list[str](), list[str]()
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        parameter = name
        if field.default is not dataclasses.MISSING:
            names[f"_default_{name}"] = field.default
            parameter, value = f"{name}=_default_{name}", name if field.init else f"_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            names[f"_make_{name}"] = field.default_factory
            parameter = f"{name}=_unset"
            value = f"_make_{name}() if {name} is _unset else {name}" if field.init else f"_make_{name}()"
        elif not field.init:
            continue
        if field.init:
            (by_name if field.kw_only else positional).append(parameter)
        body.append(f"_set(self, '{name}', {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join([*positional, *(["*", *by_name] if by_name else [])])
    exec(f"def __init__({parameters}):\n " + "\n ".join(body or ["pass"]), names)  # noqa: S102 (as the standard library does)
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made  # type: ignore[no-any-return]


@cache
def _compared(cls: type) -> _Getter:
    """What reads the fields of an instance that are compared."""
    return _getter([field.name for field in dataclasses.fields(cls) if field.compare])


@cache
def _hashed(cls: type) -> _Getter:
    """What reads the fields that the hash of an instance is made of."""
    fields = dataclasses.fields(cls)
    return _getter([field.name for field in fields if (field.compare if field.hash is None else field.hash)])


def _getter(names: list[str]) -> _Getter:
    return attrgetter(*names) if len(names) > 1 else lambda one: tuple(getattr(one, name) for name in names)


def _equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    values = _compared(type(self))  # type: ignore[arg-type]  # mypy takes a class for unhashable
    return values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(_hashed(type(self))(self))  # type: ignore[arg-type]  # mypy takes a class for unhashable


def _repr(self: Any) -> str:
    told = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({told})"


def _refuse(self: Any, name: str, *value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r} of {self.__class__.__qualname__}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
