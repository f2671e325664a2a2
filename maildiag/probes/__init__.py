"""The read-only questions that can be put to a host, and the answers they get, as frozen values."""

from __future__ import annotations

from maildiag.probes.commands import Command, CommandResult, command
from maildiag.probes.dialogues import (
    Certificate,
    Connect,
    Connection,
    Dialogue,
    Exchange,
    Protocol,
    Tls,
    Transcript,
    TryConnect,
)
from maildiag.probes.files import (
    AclEntry,
    AclTag,
    Directory,
    DiskSpace,
    FileInfo,
    FileKind,
    FileSystem,
    FileText,
    ListDirectory,
    ReadFile,
    Stat,
)
from maildiag.probes.names import DnsAnswer, DnsLookup, DnsStatus
from maildiag.probes.past import EarlierRun, EarlierRuns, Indicator
from maildiag.probes.probe import Probe
from maildiag.probes.system import Identity, Interface, Interfaces, Listener, Listeners, Process, Processes, WhoAmI

__all__ = [
    "AclEntry",
    "AclTag",
    "Certificate",
    "Command",
    "CommandResult",
    "Connect",
    "Connection",
    "Dialogue",
    "Directory",
    "DiskSpace",
    "DnsAnswer",
    "DnsLookup",
    "DnsStatus",
    "EarlierRun",
    "EarlierRuns",
    "Exchange",
    "FileInfo",
    "FileKind",
    "FileSystem",
    "FileText",
    "Identity",
    "Indicator",
    "Interface",
    "Interfaces",
    "ListDirectory",
    "Listener",
    "Listeners",
    "Probe",
    "Process",
    "Processes",
    "Protocol",
    "ReadFile",
    "Stat",
    "Tls",
    "Transcript",
    "TryConnect",
    "WhoAmI",
    "command",
]
