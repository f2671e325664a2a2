"""Who may send mail through this host to anywhere: nobody but those who should, and all of those."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint import networks, restrictions
from maildiag.lint.context import words
from maildiag.lint.master_cf import Service
from maildiag.lint.references import classes
from maildiag.logs.summary import ReasonGroup
from maildiag.model import (
    Confidence,
    Evidence,
    HostRole,
    Risk,
    Role,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    warning,
)
from maildiag.registry import check
from maildiag.settings import Settings
from maildiag.text import plural
from maildiag_checks._main_cf import setting, shown
from maildiag_checks._own_clients import is_own, own_networks

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
ID = "connectivity.relay-access"
_LISTS = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
_SAFE = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
# RFC 1918. What ipaddress calls private is wider: the addresses of documentation, say, which a bundle may stand in with.
_INTERNAL = tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))


@check(
    ID,
    step=Step.CONNECTIVITY,
    asks="May those relay who should, and nobody else?",
    explained_by=("services.main-cf", "services.master-cf"),
)
def relay_access(
    postfix_config: PostfixConfig,
    postfix_process: PostfixProcess | None,
    settings: Settings,
    mail_log: MailLog | None,
    role: HostRole | None = None,
) -> Iterator[Verdict]:
    """Follow smtpd's lists as a stranger would, and look at the width of mynetworks. Source: SMTPD_ACCESS_README."""
    config = postfix_config
    if not config.settings:
        yield skipped("Postfix refuses its configuration; see services.main-cf")
        return
    found = [
        *_open_services(config, postfix_process),
        *_wide_networks(config, postfix_process),
        *_left_out(config, postfix_process, settings, mail_log),
        *_not_permitted(config, postfix_process, mail_log),
        *_unlimited(config, role),
    ]
    yield from found
    if not any(each.status.failing for each in found):
        yield ok(
            "Only own networks and logged in users may relay",
            evidence=shown(config, "mynetworks", *_LISTS),
        )


def reachable(config: PostfixConfig) -> bool:
    """True where Postfix listens beyond this host."""
    return not all(
        word in ("loopback-only", "localhost", "127.0.0.1", "[::1]", "::1")
        for word in words(config.get("inet_interfaces"))
    )


def _open_services(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    context = config.context
    for service in context.master.running("smtpd"):
        lists = {name: _list(config, service, name) for name in _LISTS}
        reached = [restrictions.reach(restrictions.parse(each), classes(context)) for each in lists.values()]
        if any(each.stopped for each in reached) or not restrictions.satisfies_postfix(
            restrictions.parse(lists[_LISTS[0]]), restrictions.parse(lists[_LISTS[1]])
        ):
            continue  # closed, or smtpd does not even start: see services.main-cf
        own = next((name for name in _LISTS if service.override(name) is not None), "")
        if own or reachable(config):
            yield _open_relay(config, process, service, own, [each.by for each in reached])


def _list(config: PostfixConfig, service: Service, name: str) -> tuple[str, ...]:
    value = service.override(name)
    return config.context.words(name) if value is None else words(value)


def _open_relay(
    config: PostfixConfig, process: PostfixProcess | None, service: Service, own: str, by: list[str]
) -> Verdict:
    where = f"{service.key} in master.cf line {service.line}" if own else "main.cf"
    by_word = next((each for each in by if each), "")
    fix = setting(
        ID, "close", "Let own networks and logged in users relay, and nobody else", config, process,
        ("smtpd_relay_restrictions", _SAFE), automatic=not own,
    )  # fmt: skip
    return warning(
        f"This host relays for strangers: {where} lets everybody send anywhere",
        subject=service.key,
        detail=(
            f'The list lets every client pass at "{by_word}". ' if by_word else "No restriction refuses a stranger. "
        )
        + "Spammers find an open relay within hours, and other servers then block this host.",
        evidence=shown(config, *_LISTS)
        if not own
        else (Evidence(f"{config.master.path}:{service.line}", service.logical.shown(12)),),
        fixes=(fix,) if not own else (),
    )


def _wide_networks(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    listed = words(config.get("mynetworks"))
    wide = [word for word in listed if _too_wide(word)]
    if not wide or not reachable(config) or not _permits_networks(config):
        return
    rest = " ".join(word for word in listed if word not in wide) or "127.0.0.0/8"
    everybody = any(found.prefixlen == 0 for word in wide if (found := networks.network(word)))
    yield warning(
        f"mynetworks holds {', '.join(wide)}: {'the whole Internet' if everybody else 'far more than own hosts'} may relay",
        subject="mynetworks",
        detail="Clients in mynetworks send anywhere without a login. List the networks of own hosts only.",
        data={"wide": list(wide)},
        evidence=shown(config, "mynetworks"),
        fixes=(
            setting(
                ID, "narrow", f"Leave {rest} in mynetworks", config, process, ("mynetworks", rest), risk=Risk.MEDIUM,
                why="Hosts that relied on the wide network are refused then: name theirs.",
            ),
        ),
    )  # fmt: skip


_RATES = tuple(f"smtpd_client_{each}_rate_limit" for each in ("message", "recipient", "connection", "auth"))


def _unlimited(config: PostfixConfig, role: HostRole | None) -> Iterator[Verdict]:
    """The documentation asks for limits on how fast a client may send; filters and policy services may have them too.

    Source: postconf(5) smtpd_client_message_rate_limit, TUNING_README.
    """
    services = config.context.master.running("smtpd")
    values = [each.override(name) or config.get(name) for each in services for name in _RATES]
    lists = [word for name in restrictions.LISTS for word in config.context.words(name)]
    filters = config.get("smtpd_milters") or "check_policy_service" in lists
    logins = any(
        (each.override("smtpd_sasl_auth_enable") or config.get("smtpd_sasl_auth_enable")) == "yes" for each in services
    )
    server = role is not None and role.role is Role.MAIL_SERVER
    if not server or not logins or not reachable(config) or filters or any(each not in ("", "0") for each in values):
        return
    yield notice(
        "Nothing limits how fast a client may send: a stolen password sends without end",
        subject="rate-limits",
        detail="smtpd_client_message_rate_limit = 100 lets each address send so many messages a minute (anvil_rate_time_unit);"
        " smtpd_client_event_limit_exceptions names those that may send more, mynetworks by default.",
        evidence=(Evidence("postconf -x", "\n".join(f"{name} = {config.get(name)}" for name in _RATES)),),
    )


def _permits_networks(config: PostfixConfig) -> bool:
    return any("permit_mynetworks" in config.context.words(name) for name in _LISTS)


def _too_wide(word: str) -> bool:
    """Wider than an own network can be: private space is one's own, public space wider than /16 (IPv6 /32) is not."""
    found = networks.network(word)
    if found is None or word.startswith("!"):
        return False
    private = found.is_private or found.is_loopback or found.is_link_local
    least = 16 if found.version == 4 else 32
    mapped = ipaddress.IPv6Network("::ffff:0:0/96")
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(mapped):
        return found.prefixlen == 96
    return not private and found.prefixlen < least


def _left_out(
    config: PostfixConfig, process: PostfixProcess | None, settings: Settings, log: MailLog | None
) -> Iterator[Verdict]:
    """Clients that should relay and may not: those the settings name, and private addresses that the log shows refused."""
    known = own_networks(config)
    if any(":" in word and "/" in word and networks.network(word) is None for word in words(config.get("mynetworks"))):
        return  # a table: who is in it cannot be told from here
    for wanted in settings.client_networks:
        network = networks.network(wanted)
        if network and not any(_covers(each, network) for each in known):
            yield _missing_network(config, process, wanted, (), True)
    refused = {client: group for group in _denied(log) for client in group.clients}
    addresses = {client: address for client in refused if (address := _private(client)) is not None}
    for network in sorted({_surrounding(each) for each in addresses.values()}, key=str):
        if not any(_covers(each, network) for each in known):
            inside = [client for client, address in addresses.items() if _holds(network, address)]
            near = any(_holds(network, _private(address)) for address in config.addresses)
            yield _missing_network(config, process, str(network), tuple((each, refused[each]) for each in inside), near)


def _not_permitted(config: PostfixConfig, process: PostfixProcess | None, log: MailLog | None) -> Iterator[Verdict]:
    """A list that stops relaying before it lets mynetworks in, and clients of mynetworks that the log shows refused by it."""
    own = own_networks(config)
    refused = {client: group for group in _denied(log) for client in group.clients if is_own(_bare(client), own)}
    lists = {name: [each.name for each in restrictions.parse(config.context.words(name))] for name in _LISTS}
    name = next((name for name, names in lists.items() if _stops_networks(names)), "")
    if not refused or not name:
        return
    rest = [each for each in config.context.words(name) if each != "permit_mynetworks"]
    elsewhere = any("permit_mynetworks" in names for names in lists.values())
    yield (critical if elsewhere else warning)(
        f"{name} refuses the clients of mynetworks: {', '.join(refused)} may not relay through this host",
        subject=name,
        detail=f"{plural(len(refused), 'client')} of mynetworks {'was' if len(refused) == 1 else 'were'} told: Relay access denied. "
        "Both lists must let them pass, and this one has no permit_mynetworks before what stops relaying.",
        data={"clients": list(refused)},
        evidence=(
            *shown(config, name, "mynetworks"),
            *(Evidence("mail log", group.samples[-1]) for group in list(refused.values())[:2]),
        ),
        confidence=Confidence.LIKELY,
        fixes=(
            setting(
                ID, "permit", f"Let mynetworks pass first in {name}", config, process,
                (name, ", ".join(("permit_mynetworks", *rest))), risk=Risk.MEDIUM,
                why="If hosts of mynetworks are to log in before they relay, leave it, and have them log in.",
            ),
        ),
    )  # fmt: skip


def _stops_networks(names: list[str]) -> bool:
    before = names[: names.index("permit_mynetworks")] if "permit_mynetworks" in names else names
    return any(each in restrictions.STOPS_RELAY for each in before)


def _bare(client: str) -> str:
    """The address in `name[address]`."""
    return client.rpartition("[")[2].rstrip("]")


def _denied(log: MailLog | None) -> Iterator[ReasonGroup]:
    if log is not None:
        yield from (
            each
            for each in log.summary.reasons
            if each.status == "rejected" and each.reason.meaning == "relay.denied" and not each.over
        )


def _private(client: str) -> Address | None:
    """The client's address where it is one of internal use (RFC 1918, RFC 4193)."""
    try:
        found = ipaddress.ip_address(_bare(client))
    except ValueError:
        return None
    return found if any(_holds(each, found) for each in _INTERNAL) else None


def _surrounding(address: Address) -> networks.Network:
    """A network as people make them: /24, and /64 of IPv6."""
    return ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False)


def _holds(network: networks.Network, address: Address | None) -> bool:
    return address is not None and address.version == network.version and address in network


def _covers(wide: networks.Network, narrow: networks.Network) -> bool:
    if isinstance(wide, ipaddress.IPv4Network) and isinstance(narrow, ipaddress.IPv4Network):
        return narrow.subnet_of(wide)
    if isinstance(wide, ipaddress.IPv6Network) and isinstance(narrow, ipaddress.IPv6Network):
        return narrow.subnet_of(wide)
    return False


def _missing_network(
    config: PostfixConfig,
    process: PostfixProcess | None,
    network: str,
    refused: tuple[tuple[str, ReasonGroup], ...],
    near: bool,
) -> Verdict:
    """`near`: the settings name the network, or this host stands in it itself, so that its clients are surely own ones."""
    written = re.sub(r"^([^/]*:[^/]*)/", r"[\1]/", network)  # IPv6 stands in brackets: postconf(5), mynetworks
    value = " ".join((*words(config.get("mynetworks")), written))
    clients = [client for client, _ in refused]
    lines = tuple(Evidence("mail log", group.samples[-1]) for _, group in refused[:2])
    return (critical if near else warning)(
        f"mynetworks does not hold {network}: {', '.join(clients) or 'clients there'} may not relay through this host",
        subject="mynetworks",
        detail=f"{plural(len(clients), 'client')} of an internal network {'was' if len(clients) == 1 else 'were'} refused: Relay access denied."
        if clients
        else "The settings of maildiag name it as a network of own clients.",
        data={"network": network, "clients": list(clients)},
        evidence=(*shown(config, "mynetworks"), *lines),
        confidence=Confidence.LIKELY if refused else Confidence.CERTAIN,
        fixes=(
            setting(
                ID, "admit", f"Add {network} to mynetworks, if these are own hosts", config, process, ("mynetworks", value),
                risk=Risk.MEDIUM, why="Everybody in it may then send anywhere without a login: name single hosts where you can.",
            ),
        ),
    )  # fmt: skip
