"""Which services Postfix needs in master.cf, by what main.cf asks for. Source: master(5), OVERVIEW."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.lint.context import Context
from maildiag.model import Status
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Needed:
    """A service that must be there, how bad its absence is, what it is for, and its stock entry."""

    name: str
    type: str
    status: Status
    purpose: str
    entry: str


_ALWAYS = (
    Needed(
        "pickup",
        "unix",
        Status.CRITICAL,
        "takes mail of local programs (sendmail) into the queue",
        "pickup unix n - n 60 1 pickup",
    ),
    Needed("cleanup", "unix", Status.CRITICAL, "writes every message into the queue", "cleanup unix n - n - 0 cleanup"),
    Needed("qmgr", "unix", Status.CRITICAL, "hands queued mail to delivery", "qmgr unix n - n 300 1 qmgr"),
    Needed("rewrite", "unix", Status.CRITICAL, "resolves every address", "rewrite unix - - n - - trivial-rewrite"),
    Needed("bounce", "unix", Status.CRITICAL, "reports mail that cannot be delivered", "bounce unix - - n - 0 bounce"),
    Needed("defer", "unix", Status.CRITICAL, "notes why mail is deferred", "defer unix - - n - 0 bounce"),
    Needed("trace", "unix", Status.WARNING, "writes delivery status reports", "trace unix - - n - 0 bounce"),
    Needed("error", "unix", Status.CRITICAL, "returns what has no delivery", "error unix - - n - - error"),
    Needed(
        "retry", "unix", Status.CRITICAL, "holds back mail for destinations that are down", "retry unix - - n - - error"
    ),
    Needed("showq", "unix", Status.WARNING, "lists the queue (mailq)", "showq unix n - n - - showq"),
)
_STOCK = {
    "smtp/inet": "smtp inet n - n - - smtpd",
    "smtp/unix": "smtp unix - - n - - smtp",
    "smtpd/pass": "smtpd pass - - n - - smtpd",
    "dnsblog/unix": "dnsblog unix - - n - 0 dnsblog",
    "tlsproxy/unix": "tlsproxy unix - - n - 0 tlsproxy",
    "relay/unix": "relay unix - - n - - smtp",
    "local/unix": "local unix - n n - - local",
    "virtual/unix": "virtual unix - n n - - virtual",
    "lmtp/unix": "lmtp unix - - n - - lmtp",
    "anvil/unix": "anvil unix - - n - 1 anvil",
    "scache/unix": "scache unix - - n - 1 scache",
    "tlsmgr/unix": "tlsmgr unix - - n 1000? 1 tlsmgr",
    "proxymap/unix": "proxymap unix - - n - - proxymap",
    "proxywrite/unix": "proxywrite unix - - n - 1 proxymap",
    "verify/unix": "verify unix - - n - 1 verify",
    "discard/unix": "discard unix - - n - - discard",
    "postlog/unix-dgram": "postlog unix-dgram n - n - 1 postlogd",
}


def needed_services(context: Context, server: bool) -> Iterator[Needed]:
    """The services that this configuration cannot do without; `server`: the host is to take mail from the network."""
    yield from _ALWAYS
    if server:
        yield _stock("smtp/inet", Status.CRITICAL, "takes mail from the network on port 25")
    if "proxy:" in context.value("local_recipient_maps") or "proxy:" in context.value("virtual_alias_maps"):
        yield _stock("proxymap/unix", Status.CRITICAL, "opens the tables named with proxy:")
    if context.master.running("postscreen"):
        yield _stock("smtpd/pass", Status.CRITICAL, "takes over the connections that postscreen lets pass")
        if context.words("postscreen_dnsbl_sites"):
            yield _stock("dnsblog/unix", Status.CRITICAL, "asks postscreen's block lists")
        if context.value("smtpd_tls_security_level") not in ("", "none"):
            yield _stock("tlsproxy/unix", Status.WARNING, "speaks TLS for postscreen")
    if context.words("mydestination") and context.value("local_transport").partition(":")[0] == "local":
        yield _stock("local/unix", Status.CRITICAL, "delivers to local users")
    if context.value("default_transport").partition(":")[0] == "smtp":
        yield _stock("smtp/unix", Status.CRITICAL, "delivers to other hosts")
    if _tls(context):
        yield _stock("tlsmgr/unix", Status.CRITICAL, "gives the TLS code its random numbers and session caches")
    if context.master.running("smtpd"):
        yield _stock("anvil/unix", Status.WARNING, "counts connections for smtpd's limits")
    if context.words("virtual_mailbox_domains") and context.value("virtual_transport") == "virtual":
        yield _stock("virtual/unix", Status.CRITICAL, "delivers to virtual mailboxes")
    if context.words("relay_domains") and context.value("relay_transport") == "relay":
        yield _stock("relay/unix", Status.CRITICAL, "forwards the mail of relay_domains")
    if context.value("maillog_file"):
        yield _stock("postlog/unix-dgram", Status.CRITICAL, "writes maillog_file")
    if "reject_unverified_" in "".join(context.settings.values()):
        yield _stock("verify/unix", Status.CRITICAL, "verifies addresses for reject_unverified_…")


def _stock(key: str, status: Status, purpose: str) -> Needed:
    name, _, kind = key.partition("/")
    return Needed(name, kind, status, purpose, _STOCK[key])


def _tls(context: Context) -> bool:
    names = ("smtpd_tls_security_level", "smtp_tls_security_level")
    return any(context.value(name) not in ("", "none") for name in names)
