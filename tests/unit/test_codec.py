"""What a bundle holds comes back as it was, for every kind of probe and answer."""

from __future__ import annotations

import dataclasses
import json
import typing
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maildiag import probes
from maildiag.codec import decode, encode
from maildiag.model import Gap, GapReason, Reading

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
TIMES = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        bool: st.booleans(),
        int: st.integers(-(2**53), 2**53),
        float: st.floats(0, 1e9),
        datetime: TIMES,
    }
    if hint in plain:
        return plain[hint]
    if typing.get_origin(hint) is tuple:
        return st.lists(values(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if typing.get_args(hint):
        return st.none() | values(next(each for each in typing.get_args(hint) if each is not type(None)))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return instances(hint)


def instances(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: values(hints[field.name]) for field in dataclasses.fields(cls)})


KINDS = [each for each in vars(probes).values() if isinstance(each, type) and dataclasses.is_dataclass(each)]
ANYTHING = st.sampled_from(KINDS).flatmap(instances)
GAPS = st.builds(Gap, st.sampled_from(GapReason), TEXT, TEXT)


@given(ANYTHING)
def test_every_probe_and_answer_comes_back_from_json(value: Any) -> None:
    assert decode(json.loads(json.dumps(encode(value)))) == value


@given(st.builds(Reading, ANYTHING, TIMES, st.floats(0, 1e6)) | GAPS)
def test_readings_and_gaps_come_back_from_json(value: Any) -> None:
    assert decode(json.loads(json.dumps(encode(value)))) == value


def test_a_reading_of_several_things_comes_back() -> None:
    listener = probes.Listener("tcp", "0.0.0.0", 25, 1, "master")
    reading = Reading((listener, listener), datetime(2026, 11, 23, tzinfo=UTC), 0.1)
    assert decode(json.loads(json.dumps(encode(reading)))) == reading
