"""What Postfix hands mail and questions to: milters, policy services, content filters; and whether they can be reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from maildiag.asking import Ask
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.facts.relay import parse_next_hop, protocols
from maildiag.facts.sockets import MasterLine, master_lines
from maildiag.model import Gap, Missing
from maildiag.probes import Connect, Connection, Dialogue, Protocol, Transcript, TryConnect
from maildiag.records import dataclass
from maildiag.registry import gatherer

_RESTRICTIONS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
)


class Kind(StrEnum):
    """How Postfix uses the service."""

    MILTER = "milter"
    POLICY = "policy service"
    CONTENT = "content filter"


@dataclass(frozen=True, slots=True)
class Helper:
    """A service beside Postfix: how it is used, by which setting, as written there, and the path or host and port it is at."""

    kind: Kind
    setting: str
    text: str
    host: str
    port: int
    action: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A helper and how the attempt to reach it ended."""

    helper: Helper
    probe: TryConnect | Dialogue
    answer: Connection | Transcript | Gap


@dataclass(frozen=True, slots=True)
class Filters:
    """Every milter, policy service and content filter that Postfix is configured with."""

    reached: tuple[Reached, ...]


@gatherer
def filters(ask: Ask, postfix: Postfix) -> Filters:
    """Connect to each of them, side by side; content filters that speak SMTP or LMTP, and milters, are spoken to."""
    if not postfix.installed:
        raise Missing(WITHOUT)
    table = master_lines(ask)
    found = list(dict.fromkeys([*_milters(postfix, table), *_policies(postfix, table), *_content(postfix, table)]))
    probes = [_probe(each, postfix, each.host) for each in found]
    for probe in probes:
        ask.begin(probe)
    return Filters(tuple(_reached(ask, postfix, each, probe) for each, probe in zip(found, probes, strict=True)))


def _reached(ask: Ask, postfix: Postfix, helper: Helper, probe: TryConnect | Dialogue) -> Reached:
    """The C library takes ::1 of a hosts file for 127.0.0.1 where only IPv4 is asked for, as Postfix may be told to."""
    found = _answered(ask, helper, probe)
    if helper.host == "localhost" and protocols(postfix) == {"ipv4"} and not _connected(found.answer):
        other = _answered(ask, helper, _probe(helper, postfix, "127.0.0.1"))
        if _connected(other.answer):
            return other
    return found


def _answered(ask: Ask, helper: Helper, probe: TryConnect | Dialogue) -> Reached:
    """The answer; older recordings hold of a milter the connection alone."""
    answer: Connection | Transcript | Gap = ask.maybe(probe)
    if isinstance(answer, Gap) and helper.kind is Kind.MILTER:
        probe = TryConnect(probe.host, helper.port)
        answer = ask.maybe(probe)
    return Reached(helper, probe, answer)


def _connected(answer: Connection | Transcript | Gap) -> bool:
    match answer:
        case Connection():
            return answer.outcome is Connect.CONNECTED
        case Transcript():
            return answer.connect is Connect.CONNECTED
    return False


def _probe(helper: Helper, postfix: Postfix, host: str) -> TryConnect | Dialogue:
    """A content filter is spoken to, and a milter asked what smtpd(8) asks before it greets: the kernel takes a connection
    for one that hangs. A policy service may keep what it is asked.
    """
    if helper.kind is Kind.MILTER:
        return Dialogue(Protocol.MILTER, host, helper.port, timeout=8.0)
    if helper.kind is Kind.CONTENT:
        return Dialogue(Protocol.SMTP, host, helper.port, helo=postfix.get("myhostname", "localhost"), timeout=12.0)
    return TryConnect(host, helper.port)


def _milters(postfix: Postfix, table: list[MasterLine]) -> Iterator[Helper]:
    default = postfix.get("milter_default_action", "tempfail")
    settings = [(name, postfix.get(name)) for name in ("smtpd_milters", "non_smtpd_milters")]
    settings += [(f"{line.name}: smtpd_milters", line.options.get("smtpd_milters", "")) for line in table]
    for name, value in settings:
        program = "cleanup" if name.startswith("non_") else "smtpd"
        for text, action in split_milters(value):
            place = endpoint(text, postfix, chrooted(program, table))
            if place:
                yield Helper(Kind.MILTER, name, text, *place, action or default)


def split_milters(value: str) -> list[tuple[str, str]]:
    """The milters of a list with their own default action: `inet:h:1, { unix:/s, default_action=accept }` (postconf(5))."""
    found = []
    for inside, plain in re.findall(r"\{([^}]*)\}|([^\s,{}]+)", value):
        words = [word for word in re.split(r"[,\s]+", inside or plain) if word]
        action = re.search(r"default_action\s*=\s*(\w+)", inside)
        if words:
            found.append((words[0], action[1] if action else ""))
    return found


def _policies(postfix: Postfix, table: list[MasterLine]) -> Iterator[Helper]:
    sources = [(name, postfix.get(name)) for name in _RESTRICTIONS]
    sources += [(f"{line.name}: {name}", line.options.get(name, "")) for line in table for name in _RESTRICTIONS]
    default = postfix.get("smtpd_policy_service_default_action", "451")
    for name, value in sources:
        for inside, plain in re.findall(r"check_policy_service[,\s]+(?:\{([^}]*)\}|([^\s,]+))", value):
            text = (re.split(r"[,\s]+", inside.strip())[0]) if inside else plain
            place = endpoint(text, postfix, chrooted("smtpd", table))
            if place and not _spawned(text, table):
                yield Helper(Kind.POLICY, name, text, *place, default)


def _spawned(text: str, table: list[MasterLine]) -> bool:
    """True for a socket that master(8) itself opens (`unix:private/policy` with spawn(8)): it only starts on demand."""
    name = text.removeprefix("unix:").removeprefix("private/")
    return any(line.kind == "unix" and line.name == name for line in table)


def _content(postfix: Postfix, table: list[MasterLine]) -> Iterator[Helper]:
    sources = [("content_filter", postfix.get("content_filter"))]
    sources += [(f"{line.name}: content_filter", line.options.get("content_filter", "")) for line in table]
    programs = {line.name: line.program for line in table}
    for name, value in sources:
        transport, _, hop = value.partition(":")
        if programs.get(transport) not in ("smtp", "lmtp") or not hop:
            continue
        place = parse_next_hop(hop.removeprefix("inet:"))
        if place and programs.get(transport) == "smtp":
            yield Helper(Kind.CONTENT, name, value, place.host, place.port)
    proxy = [("smtpd_proxy_filter", postfix.get("smtpd_proxy_filter"))]
    proxy += [(f"{line.name}: smtpd_proxy_filter", line.options.get("smtpd_proxy_filter", "")) for line in table]
    for name, value in proxy:
        place = parse_next_hop(value.removeprefix("inet:"))
        if place:
            yield Helper(Kind.CONTENT, name, value, place.host, place.port)


def chrooted(program: str, table: list[MasterLine]) -> bool:
    """True where a service that runs this program is chrooted (master(5); `-` means no since Postfix 3.0)."""
    return any(line.program == program and line.chroot == "y" for line in table)


def endpoint(text: str, postfix: Postfix, in_chroot: bool = False) -> tuple[str, int] | None:
    """`inet:host:port`, `unix:path`, `local:path` as a path or host and port; None for others.

    A relative path lies below the queue directory; for a chrooted program an absolute one does too (MILTER_README).
    """
    kind, _, rest = text.partition(":")
    if kind in ("unix", "local"):
        below = in_chroot or not rest.startswith("/")
        return (f"{postfix.get('queue_directory', '/var/spool/postfix')}/{rest.lstrip('/')}" if below else rest), 0
    if kind != "inet":
        return None
    if "@" in rest:
        port, _, host = rest.partition("@")
    else:
        host, _, port = rest.rpartition(":")
    return (host.strip("[]") or "localhost", int(port)) if port.isdigit() else None
