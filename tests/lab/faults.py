"""The catalogue of faults: each a small TOML file that says how a host is broken and what maildiag must say of it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from tests.lab.dns import FAILURES
from tests.lab.errors import LabError
from tests.lab.hosts import ALL_HOSTS
from tests.lab.images import RELEASES

CATALOGUE = Path(__file__).with_name("faults")

HOSTS = tuple(spec.name for spec in ALL_HOSTS)
PATHS = ("deliver-app", "deliver-local", "deliver-partner", "login-imap", "login-pop3", "submission", "none")
PARTNER_BEHAVIOURS = ("reject", "tempfail", "refuse", "hang", "stop")
DNS_ACTIONS = ("add", "remove", "replace", "fail", "stop")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """Run a script with `bash -euo pipefail` as root on a host."""

    run: str
    on: str = ""


@dataclass(frozen=True, slots=True)
class ChangeDns:
    """Change a record (`kind`, `name`, `value`), stop the name server, or make it fail (`how`, `zone`)."""

    dns: str
    kind: str = ""
    name: str = ""
    value: str = ""
    how: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class ChangePartner:
    """Make the partner's MX misbehave."""

    partner: str


@dataclass(frozen=True, slots=True)
class SendMail:
    """Send a message with sendmail on a host, and do not wait for it."""

    mail: str
    to: str = "alice@example.test"


@dataclass(frozen=True, slots=True)
class Login:
    """Log in from app02."""

    login: str
    protocol: str = "imap"
    security: str = "plain"
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit a message from app02 over port 587 as a user, and do not wait for it."""

    submit: str
    to: str = "alice@example.test"


@dataclass(frozen=True, slots=True)
class Reboot:
    """Reboot a host, which keeps its disk."""

    reboot: str


Step = Run | ChangeDns | ChangePartner | SendMail | Login | Submit | Reboot
# A step in a file is known by the key that says what is done.
_STEPS: Mapping[str, Callable[..., Step]] = {
    "run": Run,
    "dns": ChangeDns,
    "partner": ChangePartner,
    "mail": SendMail,
    "login": Login,
    "submit": Submit,
    "reboot": Reboot,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, as its file says; README.md beside the files explains the fields."""

    name: str
    title: str
    host: str
    breaks: tuple[Step, ...]
    first: tuple[str, ...]
    symptom: tuple[Step, ...] = ()
    settle: str = ""
    run_on: str = ""
    subject: str = ""
    not_blamed: tuple[str, ...] = ()
    path: str = "none"
    broken: bool = True
    curable: bool = False
    open: str = ""
    leaves: str = ""
    releases: tuple[str, ...] = tuple(RELEASES)

    @property
    def runs_on(self) -> str:
        """The host on which maildiag looks for the fault."""
        return self.run_on or self.host


def catalogue(directory: Path = CATALOGUE) -> tuple[Fault, ...]:
    """All faults, sorted by name; raises LabError that names the file, the key and the nearest valid key."""
    return tuple(load(path, directory) for path in sorted(directory.glob("*/*.toml")))


def load(path: Path, directory: Path = CATALOGUE) -> Fault:
    """The fault in the file `path`, named by its place below `directory`; raises LabError as `catalogue` does."""
    name = path.relative_to(directory).with_suffix("").as_posix()
    try:
        return _fault(name, tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, ValueError) as problem:
        raise LabError(f"{path}: {problem}") from problem


def _fault(name: str, table: Mapping[str, Any]) -> Fault:
    steps = {"break": "breaks", "symptom": "symptom"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        field = steps.get(key, key)
        values[field] = tuple(_step(one) for one in _sequence(key, value)) if key in steps else _value(key, value)
    fault = _built(Fault, {"name": name, **values}, shown={"breaks": "break"})
    _check_words(fault)
    return fault


def _value(key: str, value: Any) -> Any:
    return (
        tuple(value) if isinstance(value, list) else (value,) if key in ("first", "not_blamed", "releases") else value
    )


def _sequence(key: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{key} is a list of steps")
    return value


def _step(value: object) -> Step:
    if isinstance(value, str):
        return Run(value)
    if not isinstance(value, dict):
        raise ValueError(f"a step is a script or a table, not {value!r}")
    kind = next((kind for verb, kind in _STEPS.items() if verb in value), None)
    if kind is None:
        raise ValueError(f"the step {value!r} has none of {', '.join(_STEPS)}")
    step = _built(kind, value)
    _check_step(step)
    return step


def _built(kind: Callable[..., T], values: Mapping[str, Any], shown: Mapping[str, str] | None = None) -> T:
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # always one of our dataclasses
    shown = shown or {}
    for key in values.keys() - known.keys():
        near = difflib.get_close_matches(key, [shown.get(name, name) for name in known], n=1, cutoff=0.5)
        raise ValueError(f"no key {key!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    missing = [
        shown.get(name, name) for name, field in known.items() if field.default is MISSING and name not in values
    ]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    for key, value in values.items():
        expected = str(known[key].type)
        if (expected == "bool") != isinstance(value, bool) or (
            expected.startswith("str") and not isinstance(value, str)
        ):
            raise ValueError(f"{shown.get(key, key)} = {value!r} is not a {expected}")
    return kind(**values)


def _check_step(step: Step) -> None:
    match step:
        case Run(on=host) if host:
            _one_of("on", host, HOSTS)
        case ChangeDns(dns=action, how=how):
            _one_of("dns", action, DNS_ACTIONS)
            if action == "fail":
                _one_of("how", how, FAILURES)
        case ChangePartner(partner=behaviour):
            _one_of("partner", behaviour, PARTNER_BEHAVIOURS)
        case SendMail(mail=host) | Reboot(reboot=host):
            _one_of("host", host, HOSTS)
        case _:
            pass


def _check_words(fault: Fault) -> None:
    _one_of("host", fault.host, HOSTS)
    _one_of("run_on", fault.runs_on, HOSTS)
    _one_of("path", fault.path, PATHS)
    for release in fault.releases:
        _one_of("releases", release, tuple(RELEASES))


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{key} = {value!r} is none of {', '.join(known)}")
