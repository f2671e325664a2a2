"""Our quick dataclasses mean what the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from maildiag import records

T = TypeVar("T")
Decorator = Callable[..., Any]
ours: Decorator = records.dataclass
theirs: Decorator = dataclasses.dataclass
KINDS = [{}, {"frozen": True}, {"frozen": True, "slots": True}, {"slots": True}, {"frozen": True, "kw_only": True}]


def _made(dataclass: Decorator, **how: bool) -> Any:
    @dataclass(**how)
    class Message:
        """A message in the queue."""

        queue_id: str
        size: int = 0
        recipients: list[str] = field(default_factory=list, hash=False)
        sample: str = field(default="", compare=False, repr=False)
        seen: int = field(default=7, init=False)
        known: ClassVar[int] = 3

    return Message


def _told(action: Callable[[], Any]) -> object:
    """What an action gives, or which exception."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 (what is compared)
        return type(error)


@pytest.mark.parametrize("how", KINDS, ids=str)
def test_means_the_same(how: dict[str, bool]) -> None:
    """Making, printing, comparing, hashing, changing and copying give what they give with the standard library."""

    def story(dataclass: Decorator) -> list[object]:
        message = _made(dataclass, **how)
        one = message(queue_id="4F2", size=3, recipients=["a@b"], sample="x")
        other = message(queue_id="4F2", size=3, recipients=["a@b"], sample="y")
        third = message(queue_id="4F2", size=4)

        def set_size() -> object:
            one.size = 5
            return one.size

        def delete() -> object:
            del other.size
            return hasattr(other, "size")

        return [
            repr(one),
            _told(lambda: message("4F2", 3)),
            _told(lambda: message()),
            _told(lambda: message(queue_id="1", nonsense=1)),
            one == other,
            one == third,
            one == "4F2",
            one.__eq__("4F2"),
            _told(lambda: hash(one) == hash(other)),
            _told(lambda: hash(third) == hash(one)),
            third.recipients,
            third.recipients is message(queue_id="4F2").recipients,
            message.__match_args__,
            dataclasses.asdict(one),
            dataclasses.replace(one, size=9) if "kw_only" in how else repr(one),
            repr(copy.copy(one)),
            repr(copy.deepcopy(one)),
            hasattr(one, "__dict__"),
            one.seen,
            _told(set_size),
            _told(delete),
            message.__doc__,
        ]

    told, expected = story(ours), story(theirs)
    assert [str(each) for each in told] == [str(each) for each in expected]


@records.dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    more: tuple[int, ...] = ()


@records.dataclass(frozen=True, slots=True)
class _Longer(_Kept[str]):
    length: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.value))


def test_is_pickled_and_copied() -> None:
    """A frozen instance with slots goes to another process and comes back."""
    kept = _Kept({"a": 1}, (1, 2))
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert copy.deepcopy(kept) == kept


def test_derived_classes() -> None:
    """A derived class takes its parent's fields first, and is another class to `==`; a plug-in's own may be the standard's."""
    assert _Longer("four") == _Longer("four", (), 9)
    assert _Longer("four").length == 4
    assert _Longer("four") != _Kept("four")
    with pytest.raises(dataclasses.FrozenInstanceError):
        _Longer("four").value = "five"  # type: ignore[misc]

    @dataclasses.dataclass(frozen=True)
    class Theirs(_Kept[str]):
        name: str = ""

    assert repr(Theirs("a", (), "b")) == "test_derived_classes.<locals>.Theirs(value='a', more=(), name='b')"
    assert Theirs("a") == Theirs("a")


def test_own_methods_stay() -> None:
    """What a class defines itself is not replaced."""

    @records.dataclass(frozen=True)
    class Named:
        name: str

        def __hash__(self) -> int:
            return 4

        def __repr__(self) -> str:
            return "named"

    assert (hash(Named("a")), repr(Named("a"))) == (4, "named")
    assert Named("a") == Named("a")


def test_nothing_is_compiled_before_it_is_used() -> None:
    """Defining classes compiles nothing; the first instance compiles one method."""
    code = (
        "import builtins, dataclasses\n"
        "from maildiag import records\n"
        "count, compiled = [0], builtins.exec\n"
        "def counted(*args):\n"
        "    count[0] += 1\n"
        "    compiled(*args)\n"
        "builtins.exec = counted\n"
        "class A:\n"
        "    'Doc.'\n"
        "    a: int\n"
        "    b: str = ''\n"
        "A = records.dataclass(frozen=True)(A)\n"
        "assert count == [0], count\n"
        "assert A(1) == A(1) and hash(A(1)) == hash(A(1)) and repr(A(1)) == \"A(a=1, b='')\"\n"
        "assert count == [1], count\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
