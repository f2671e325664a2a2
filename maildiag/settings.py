"""The effective settings of a run: thresholds, expected services, accounts and files; `config.py` reads them from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date

from maildiag.model import Role
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A finding that is known: its id (and subject, where only that one is meant), why, and until when (inclusive)."""

    id: str
    reason: str
    expires: date
    subject: str = ""


@dataclass(frozen=True, slots=True)
class RemoteHost:
    """Another host of the installation: its name, how ssh(1) reaches it, and its role where it is known."""

    name: str
    ssh: str = ""
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a number becomes a finding. The queue limit is the documentation's."""

    queue_messages: int = 100
    queue_age_hours: float = 4.0
    hold_messages: int = 0
    disk_free_percent: float = 5.0
    certificate_days: int = 14
    auth_failures_per_hour: int = 100
    log_window_hours: float = 24.0
    delivery_drop_percent: float = 80.0
    mail_store_growth_percent: float = 50.0


@dataclass(frozen=True, slots=True)
class Screen:
    """The interactive screen. `keys` maps the id of an action to the keys that do it instead: `f8` or `f8,R`."""

    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the administrator (configuration files, command line) asks of a run. Times in seconds."""

    role: Role | None = None
    thresholds: Thresholds = Thresholds()
    services: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    log_files: tuple[str, ...] = ()
    probe_mailbox: str = ""
    test_users: tuple[str, ...] = ()
    client_networks: tuple[str, ...] = ()
    hosts: tuple[RemoteHost, ...] = ()
    acknowledgements: tuple[Acknowledgement, ...] = ()
    timeout: float = 60.0
    tui: Screen = field(default_factory=Screen)
