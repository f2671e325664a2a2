"""smtpd(8) access restrictions: their names, their arguments, and whether a list lets strangers relay. Source: postconf(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from maildiag.records import dataclass

LISTS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_etrn_restrictions",
)

_TABLE = frozenset(
    {
        "check_ccert_access", "check_sasl_access", "check_etrn_access", "check_policy_service",
        *(
            f"check_{what}_{kind}access"
            for what in ("client", "helo", "sender", "recipient", "reverse_client_hostname")
            for kind in ("", "a_", "mx_", "ns_")
        ),
    }
)  # fmt: skip
_DOMAIN = frozenset(
    {
        "reject_rbl_client", "reject_rhsbl_client", "reject_rhsbl_helo", "reject_rhsbl_sender", "reject_rhsbl_recipient",
        "reject_rhsbl_reverse_client", "permit_dnswl_client", "permit_rhswl_client", "reject_rbl",
    }
)  # fmt: skip
_PLAIN = frozenset(
    {
        "permit", "reject", "defer", "defer_if_permit", "defer_if_reject", "defer_unauth_destination", "sleep",
        "permit_auth_destination", "permit_inet_interfaces", "permit_mx_backup", "permit_mynetworks", "permit_naked_ip_address",
        "permit_sasl_authenticated", "permit_tls_all_clientcerts", "permit_tls_clientcerts", "check_relay_domains",
        "check_recipient_maps", "reject_maps_rbl", "reject_invalid_helo_hostname", "reject_invalid_hostname",
        "reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname", "reject_non_fqdn_recipient", "reject_non_fqdn_sender",
        "reject_multi_recipient_bounce", "reject_plaintext_session", "reject_authenticated_sender_login_mismatch",
        "reject_known_sender_login_mismatch", "reject_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch",
        "reject_unauth_destination", "reject_unauth_pipelining", "reject_unknown_address", "reject_unknown_client",
        "reject_unknown_client_hostname", "reject_unknown_forward_client_hostname", "reject_unknown_helo_hostname",
        "reject_unknown_hostname", "reject_unknown_recipient_domain", "reject_unknown_reverse_client_hostname",
        "reject_unknown_sender_domain", "reject_unlisted_recipient", "reject_unlisted_sender", "reject_unverified_recipient",
        "reject_unverified_sender", "warn_if_reject",
    }
)  # fmt: skip
NAMES = _TABLE | _DOMAIN | _PLAIN
"""Every restriction that smtpd of Postfix 3.4 to 3.11 knows."""

STOPS_RELAY = frozenset(
    {"reject_unauth_destination", "defer_unauth_destination", "check_relay_domains", "reject", "defer"}
)
"""Restrictions behind which no stranger's mail for a foreign domain gets."""
_STRANGERS = frozenset({"permit", "permit_naked_ip_address"})
_SATISFIES = STOPS_RELAY | {"defer_if_permit"}


@dataclass(frozen=True, slots=True)
class Restriction:
    """A restriction with its argument ("" where it takes none or lacks it); `warned` when warn_if_reject disarms it."""

    name: str
    argument: str = ""
    warned: bool = False

    @property
    def needs_argument(self) -> bool:
        """True for restrictions that are nothing without an argument."""
        return self.name in _TABLE or self.name in _DOMAIN or self.name == "sleep"


def parse(words: tuple[str, ...]) -> tuple[Restriction, ...]:
    """The words of a restriction list as restrictions; a lone table (`hash:/path`) stands for a check on it."""
    found: list[Restriction] = []
    rest = list(words)
    warned = False
    while rest:
        word = rest.pop(0)
        if word.startswith("{") and word.endswith("}"):
            rest[:0] = word[1:-1].split()
            continue
        if word == "warn_if_reject":
            warned = True
            continue
        name = word.lower() if word.lower() in NAMES else word
        argument = ""
        if name in _TABLE or name in _DOMAIN or name == "sleep":
            argument = rest.pop(0) if rest and not _is_name(rest[0]) else ""
        found.append(Restriction(name, argument, warned))
        warned = False
    return tuple(found)


def _is_name(word: str) -> bool:
    return word.lower() in NAMES


def unknown(restrictions: tuple[Restriction, ...], classes: tuple[str, ...]) -> tuple[Restriction, ...]:
    """Those that smtpd does not know: no restriction, no class, no table."""
    return tuple(
        each
        for each in restrictions
        if each.name not in NAMES and each.name not in classes and not re.match(r"[a-z0-9_]+:", each.name)
    )


def lacking_argument(restrictions: tuple[Restriction, ...]) -> tuple[Restriction, ...]:
    """Those that need a table or a domain and have none."""
    return tuple(each for each in restrictions if each.needs_argument and not each.argument)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a list does with a stranger's mail for a foreign domain: `stopped`, or `open` at the restriction `by`."""

    stopped: bool
    by: str


def reach(restrictions: tuple[Restriction, ...], classes: Mapping[str, tuple[Restriction, ...]]) -> Reach:
    """Follow a list as a stranger with mail for a foreign domain would: the first that decides for all of them wins."""
    for each in restrictions:
        if each.warned:
            continue
        if each.name in STOPS_RELAY:
            return Reach(True, each.name)
        if each.name in _STRANGERS:
            return Reach(False, each.name)
        if each.name in classes:
            inner = reach(classes[each.name], {})
            if inner.stopped or inner.by:
                return inner
    return Reach(False, "")


def satisfies_postfix(relay: tuple[Restriction, ...], recipient: tuple[Restriction, ...]) -> bool:
    """smtpd's own test at its start: one of the lists must hold something that can stop relaying (smtpd_check(3))."""
    return any(each.name in _SATISFIES or each.name == "check_relay_domains" for each in (*relay, *recipient))
