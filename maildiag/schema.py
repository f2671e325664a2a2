"""The JSON Schema of the contract's document, generated from its types; `python -m maildiag.schema` prints it."""

from __future__ import annotations

import json
import typing
from typing import Any

from maildiag.document import CauseDocument, FindingDocument, FixDocument, ReportDocument, StepDocument
from maildiag.model import Confidence, GapReason, Risk, Status, Step
from maildiag.report import SCHEMA

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Any: {},
}

_WORDS: dict[tuple[type, str], tuple[str, ...]] = {
    (ReportDocument, "schema"): (SCHEMA,),
    (ReportDocument, "status"): tuple(Status),
    (CauseDocument, "status"): tuple(Status),
    (CauseDocument, "confidence"): tuple(Confidence),
    (StepDocument, "step"): tuple(Step),
    (StepDocument, "status"): tuple(Status),
    (FindingDocument, "step"): tuple(Step),
    (FindingDocument, "status"): tuple(Status),
    (FindingDocument, "confidence"): tuple(Confidence),
    (FindingDocument, "gap"): ("", *GapReason),
    (FixDocument, "risk"): tuple(Risk),
}


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12). Fields that it does not name are allowed: version 1 may grow."""
    definitions: dict[str, Any] = {}
    _object(ReportDocument, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "$ref": "#/$defs/ReportDocument",
        "$defs": definitions,
    }


def published() -> str:
    """The schema as `docs/report.schema.json` holds it."""
    return json.dumps(schema(), indent=2) + "\n"


def validate(document: object) -> None:
    """Raise jsonschema.ValidationError where a document breaks the contract. For tests: jsonschema is no dependency."""
    import jsonschema

    jsonschema.Draft202012Validator(schema()).validate(document)


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if cls.__name__ not in definitions:
        fields = typing.get_type_hints(cls)
        definitions[cls.__name__] = {}
        definitions[cls.__name__] = {
            "type": "object",
            "description": " ".join((cls.__doc__ or "").split()),
            "properties": {name: _field(cls, name, hint, definitions) for name, hint in fields.items()},
            "required": list(fields),
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _field(cls: type, name: str, hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    words = _WORDS.get((cls, name))
    return {"enum": [str(each) for each in words]} if words else _type(hint, definitions)


def _type(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return {"type": "array", "items": _type(inner[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(inner[1], definitions)}
    return _object(hint, definitions)


if __name__ == "__main__":
    print(published(), end="")
