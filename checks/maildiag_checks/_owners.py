"""Which check looks at the root of what the log or a refusal complains about."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from maildiag.model import Role

_PROXYMAP = "services.master-cf@master.cf:proxymap/unix"
# Meaning of a log line (maildiag.logs) to the checks that would find its cause, nearest first. `name.` stands for every
# meaning that begins so; the longest entry counts.
_MEANINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "config.": ("services.main-cf", "services.master-cf"),
        "config.master-cf": ("services.master-cf",),
        "config.relayhost": ("connectivity.relay-settings", "dns.relayhost", "services.main-cf"),
        "config.server-description": ("services.main-cf", "connectivity.relay-settings"),
        "config.not-reloadable": ("services.unloaded-changes", "services.main-cf"),
        "config.domain-in-two-classes": ("connectivity.domains", "services.main-cf"),
        "config.unknown-restriction": ("services.main-cf", "connectivity.restrictions"),
        "config.restriction-argument": ("services.main-cf", "connectivity.restrictions"),
        "config.restriction-ignored": ("connectivity.restrictions", "services.main-cf"),
        "config.no-relay-restriction": ("connectivity.restrictions", "connectivity.relay-access", "services.main-cf"),
        "config.mynetworks": ("services.main-cf", "connectivity.relay-access"),
        "config.deprecated": ("services.compatibility",),
        "config.compatibility": ("services.compatibility",),
        "map.": ("services.common-files", "services.lookup-tables", _PROXYMAP, "services.main-cf"),
        "map.backend-down": ("services.backend", "services.lookup-tables"),
        "map.query-failed": ("services.backend", "services.lookup-tables"),
        "map.lookup-error": (
            "services.common-files",
            "services.lookup-tables",
            _PROXYMAP,
            "services.backend",
            "services.main-cf",
        ),
        "map.service-problem": (
            "services.common-files",
            "services.lookup-tables",
            "services.main-cf",
            "services.master-cf",
            "services.backend",
        ),
        "map.group-writable": ("services.lookup-tables", "queue.directories"),
        "smtpd.proxy-line": ("services.main-cf", "services.master-cf"),
        "alias.": ("services.lookup-tables", "services.main-cf"),
        "chroot.differs": ("dns.chroot",),
        "chroot.library": ("services.lookup-tables", "services.master-cf"),
        "start.": ("services.postfix",),
        "start.port-taken": ("services.port-taken", "services.master-cf"),
        "start.bind": ("services.master-cf", "services.main-cf", "services.port-taken", "services.postfix"),
        "start.down": ("services.postfix",),
        "start.pickup-socket": ("services.postfix", "queue.directories"),
        "process.": (
            "services.common-files",
            "services.main-cf",
            "services.master-cf",
            "authentication.sasl-socket",
            "services.lookup-tables",
        ),
        "process.throttled": (
            "services.common-files",
            "services.main-cf",
            "services.master-cf",
            "authentication.sasl-socket",
            "authentication.mechanisms",
            "connectivity.certificate",
            "services.lookup-tables",
            "queue.directories",
        ),
        "process.exit": (
            "services.common-files",
            "services.main-cf",
            "services.master-cf",
            "authentication.sasl-socket",
            "authentication.mechanisms",
            "services.lookup-tables",
            "queue.directories",
        ),
        "process.killed": ("services.memory", "logs.crashes"),
        "process.limit": ("connectivity.milter", "connectivity.policy", "dns.resolver", "services.master-cf"),
        "spool.": ("services.sandbox", "queue.directories", "services.disk", "services.main-cf"),
        "spool.no-space": ("services.disk",),
        "spool.write-error": ("services.sandbox", "services.disk", "queue.directories", "services.postfix"),
        "spool.read-only": (
            "services.sandbox",
            "services.disk",
        ),
        "spool.old-message": ("services.lookup-tables", "services.backend", "queue.maildrop"),
        "service.": ("services.master-cf", "services.main-cf", "services.lookup-tables", "services.postfix"),
        "submit.": ("services.main-cf",),
        "config.tcp-service": ("connectivity.relay-settings", "services.main-cf", "services.lookup-tables"),
        "service.unknown-user": ("services.master-cf",),
        "service.program-missing": ("services.master-cf", "connectivity.policy", "services.main-cf"),
        "delivery.uid": ("authentication.mailbox", "services.main-cf"),
        "delivery.forward-closed": ("authentication.mailbox",),
        "tls.": ("connectivity.certificate", "connectivity.starttls"),
        "tls.client-verify": ("connectivity.certificate", "services.clock", "connectivity.starttls"),
        "tls.bad-setting": ("services.main-cf",),
        "tls.session-cache": ("services.master-cf", "queue.directories"),
        "tls.dnssec": ("dns.resolver",),
        "sasl.": ("authentication.mechanisms", "authentication.sasl-socket", "services.dovecot"),
        "sasl.socket": ("authentication.sasl-socket", "services.dovecot"),
        "sasl.socket-missing": ("authentication.sasl-socket", "services.dovecot"),
        "sasl.socket-refused": ("authentication.sasl-socket", "services.dovecot"),
        "sasl.socket-denied": ("authentication.sasl-socket",),
        "sasl.wrong-socket": ("authentication.sasl-socket",),
        "sasl.no-mechanisms": (
            "authentication.sasl-socket",
            "authentication.mechanisms",
            "authentication.passdb",
            "services.dovecot",
        ),
        "sasl.no-mechanism-out": ("authentication.relay-password", "authentication.mechanisms"),
        "sasl.password-missing": ("authentication.relay-password", "services.lookup-tables"),
        "sasl.auth-failed": ("authentication.failures",),
        "message.": ("connectivity.restrictions", "services.main-cf"),
        "milter.": ("connectivity.milter", "services.backend"),
        "policy.": ("connectivity.policy", "services.lookup-tables", "services.backend", "services.master-cf"),
        "dns.": ("dns.resolver",),
        "loop.": (
            "services.main-cf",
            "services.lookup-tables",
            "connectivity.domains",
            "connectivity.relay-settings",
            "dns.own-name",
            "dns.mx",
        ),
        "queue.": ("queue.sender", "queue.backlog"),
        "delivery.": ("services.sandbox", "authentication.mailbox", "authentication.inbox-place"),
        "network.socket": ("services.memory", "services.main-cf"),
        "dovecot.": ("services.dovecot-config", "services.dovecot"),
        "dovecot.config": ("services.dovecot-config", "services.dovecot-limits", "services.dovecot"),
        "dovecot.certificate": ("services.sandbox", "connectivity.certificate", "services.dovecot-config"),
        "dovecot.key-mismatch": ("connectivity.certificate",),
        "dovecot.tls-init": ("connectivity.certificate", "services.dovecot-config"),
        "dovecot.port-taken": ("services.port-taken",),
        "dovecot.socket": ("services.dovecot-config", "services.sandbox", "services.dovecot"),
        "dovecot.socket-directory": ("services.dovecot-config", "authentication.sasl-socket", "services.postfix"),
        "dovecot.start-failed": (
            "services.sandbox",
            "services.dovecot-config",
            "services.port-taken",
            "connectivity.certificate",
            "services.dovecot",
        ),
        "dovecot.process-limit": ("services.dovecot-limits",),
        "dovecot.client-limit": ("services.dovecot-limits",),
        "dovecot.fd-limit": (
            "services.sandbox",
            "services.dovecot-limits",
        ),
        "dovecot.files": ("services.sandbox", "services.dovecot-limits"),
        "dovecot.limits": (
            "services.sandbox",
            "services.dovecot-limits",
        ),
        "dovecot.out-of-memory": ("services.memory", "services.dovecot-limits"),
        "dovecot.killed": ("services.memory", "logs.crashes"),
        "dovecot.child-died": (
            "services.sandbox",
            "services.dovecot-limits",
            "services.dovecot-config",
            "authentication.passdb",
            "authentication.mechanisms",
            "logs.crashes",
        ),
        "dovecot.throttled": (
            "services.sandbox",
            "services.dovecot-config",
            "authentication.passdb",
            "connectivity.certificate",
        ),
        "dovecot.clock": ("services.clock",),
        "dovecot.auth-config": ("authentication.mechanisms", "authentication.passdb", "services.dovecot-config"),
        "dovecot.passwd-file": ("authentication.passdb",),
        "dovecot.passwd-file-missing": ("authentication.passdb", "authentication.users"),
        "dovecot.passwd-file-unreadable": ("authentication.passdb", "authentication.users"),
        "dovecot.userdb-missing": ("authentication.users", "authentication.passdb"),
        "dovecot.pam": ("authentication.passdb", "authentication.accounts"),
        "dovecot.sql": ("services.backend", "authentication.passdb"),
        "dovecot.ldap": ("services.backend", "authentication.passdb"),
        "dovecot.auth-socket": ("services.dovecot", "authentication.passdb", "services.dovecot-config"),
        "dovecot.auth-refused": ("authentication.accounts", "authentication.passdb"),
        "dovecot.auth-failed": ("authentication.failures",),
        "dovecot.auth-permission": ("authentication.sasl-socket", "services.dovecot-config", "authentication.passdb"),
        "dovecot.quota": ("authentication.quota",),
        "dovecot.permission": (
            "services.sandbox",
            "authentication.mailbox",
            "authentication.sasl-socket",
            "services.dovecot-config",
        ),
        "dovecot.no-space": ("services.disk",),
        "dovecot.read-only": (
            "services.sandbox",
            "services.disk",
        ),
        "dovecot.index": ("services.sandbox", "services.disk", "authentication.mailbox"),
        "dovecot.mail-location": (
            "services.sandbox",
            "authentication.mailbox",
            "authentication.users",
            "services.dovecot-config",
        ),
        "dovecot.save-failed": ("services.sandbox", "services.disk", "authentication.quota", "authentication.mailbox"),
        "systemd.": ("services.sandbox", "services.postfix", "services.dovecot", "services.backend"),
        "systemd.oom": ("services.memory",),
        "kernel.oom": ("services.memory",),
        "kernel.memory": ("services.memory",),
        "kernel.filesystem": ("services.disk",),
        "kernel.disk": ("services.disk",),
        "kernel.selinux": ("firewall.mac",),
        "kernel.selinux-permissive": ("firewall.mac",),
        "kernel.apparmor": ("firewall.mac",),
        "kernel.crash": ("logs.crashes",),
        "fail2ban.": ("firewall.bans",),
        "clock.": ("services.clock",),
        "pam.": ("authentication.passdb",),
    }
)

_LOCAL = ("services.lookup-tables", "services.backend", "services.main-cf", "services.master-cf")
# Class of a deferral or refusal (maildiag.logs.reasons) to the checks that would find its cause, nearest first.
_REASONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "loop.self": ("services.main-cf", "services.lookup-tables", "connectivity.domains", "connectivity.relay-settings", "dns.own-name", "dns.mx", "dns.hosts-file"),
        "tls.unverified": ("connectivity.starttls", "connectivity.certificate", "services.clock", "connectivity.relayhost"),
        "tls.not-offered": ("connectivity.starttls", "connectivity.relayhost", "connectivity.relay-settings"),
        "tls.required": ("connectivity.starttls", "connectivity.relay-settings", "connectivity.relayhost"),
        "tls.local-problem": ("services.main-cf", "connectivity.certificate", "connectivity.starttls", "services.main-cf"),
        "tls.handshake": ("connectivity.starttls", "connectivity.certificate", "connectivity.relayhost"),
        "tls.dane": ("dns.resolver", "connectivity.starttls"),
        "auth.rejected": ("authentication.relay-password", "authentication.passdb", "connectivity.relayhost"),
        "auth.no-mechanism": ("authentication.relay-password", "authentication.mechanisms"),
        "auth.required": ("authentication.relay-password", "connectivity.relayhost"),
        "auth.temporary": ("authentication.sasl-socket", "services.dovecot", "connectivity.relayhost"),
        "sender.rejected": ("connectivity.restrictions", "connectivity.relayhost"),
        "greylisted": ("connectivity.relayhost", "connectivity.policy"),
        "sender.not-owned": ("connectivity.restrictions", "connectivity.relayhost"),
        "relay.denied": ("authentication.relay-password", "connectivity.relayhost", "connectivity.relay-access", "connectivity.domains"),
        "client.no-ptr": ("dns.ptr", "connectivity.relayhost"),
        "policy.unauthenticated": ("dns.sender-records",),
        "helo.rejected": ("dns.own-name", "connectivity.restrictions", "services.main-cf", "connectivity.relayhost"),
        "sender.domain": ("dns.resolver", "dns.chroot", "dns.sender-records"),
        "recipient.domain": ("dns.resolver", "dns.chroot", "connectivity.domains"),
        "size.exceeded": ("connectivity.restrictions", "connectivity.relayhost"),
        "mailbox.quota": ("authentication.quota",),
        "mailbox.unknown-user": ("authentication.users", "connectivity.domains", "services.lookup-tables", "connectivity.lmtp-socket"),
        "dnsbl.blocked": ("dns.ptr", "connectivity.restrictions", "connectivity.relayhost"),
        "content.rejected": ("connectivity.milter", "connectivity.relayhost"),
        "rate-limited": ("queue.sender", "connectivity.relayhost", "connectivity.restrictions"),
        "access.denied": ("authentication.relay-password", "connectivity.relayhost", "connectivity.restrictions", "firewall.outbound"),
        "recipient.rejected": ("connectivity.restrictions", "connectivity.policy", "connectivity.relayhost"),
        "lookup.temporary": ("services.common-files", *_LOCAL, "connectivity.relayhost"),
        "alias-db.unavailable": ("services.lookup-tables", "services.main-cf"),
        "filter.unavailable": ("connectivity.milter", "connectivity.policy", "services.backend", "connectivity.relayhost"),
        "disk.full": ("services.disk", "connectivity.relayhost"),
        "transport.unavailable": (
            "services.master-cf",
            "services.main-cf",
            "connectivity.relay-settings",
            "services.lookup-tables",
            "queue.directories",
        ),
        "transport.deferred": ("connectivity.restrictions",),
        "local.data-error": (
            "authentication.relay-password",
            "services.lookup-tables",
            "services.main-cf",
            "connectivity.certificate",
            "services.master-cf",
        ),
        "connect.refused": ("connectivity.relayhost", "firewall.outbound", "connectivity.lmtp-socket", "services.dovecot", "connectivity.policy", "services.backend"),
        "connect.no-route": ("firewall.outbound", "connectivity.route", "connectivity.relayhost", "connectivity.outbound"),
        "connect.prohibited": ("services.sandbox", "connectivity.restrictions", "firewall.outbound", "connectivity.route", "connectivity.relayhost", "connectivity.outbound"),
        "connect.unreachable": ("services.sandbox", "connectivity.restrictions", "connectivity.route", "connectivity.relayhost", "connectivity.outbound", "services.main-cf"),
        "connect.timeout": ("firewall.outbound", "connectivity.route", "connectivity.relayhost", "connectivity.outbound", "firewall.bans"),
        "connect.lost": ("connectivity.relayhost", "connectivity.outbound", "connectivity.lmtp-socket"),
        "connect.timeout-data": ("connectivity.mtu", "connectivity.relayhost"),
        "connect.lost-data": ("connectivity.mtu", "connectivity.relayhost"),
        "connect.socket-missing": ("connectivity.lmtp-socket", "services.dovecot", "services.master-cf"),
        "connect.socket-denied": ("connectivity.lmtp-socket",),
        "dns.tryagain": (
            "services.common-files", "dns.resolver",
            "dns.chroot",
            "dns.relayhost",
            "connectivity.relay-settings",
            "firewall.outbound",
            "dns.mx",
        ),
        "dns.not-found": ("dns.relayhost", "connectivity.relay-settings", "dns.resolver", "dns.chroot", "dns.hosts-file", "dns.mx"),
        "local.permission": ("services.common-files", "services.sandbox", "services.disk", "services.main-cf", "authentication.mailbox", "authentication.inbox-place", "firewall.mac"),
        "local.command": ("services.main-cf", "services.master-cf", "services.backend"),
        "mailbox.temporary": ("services.dovecot", "connectivity.lmtp-socket", "authentication.mailbox", "authentication.passdb", "connectivity.relayhost"),
        "policy.other": ("connectivity.relayhost", "connectivity.restrictions"),
        "syntax.rejected": ("connectivity.relayhost", "dns.own-name", "connectivity.restrictions"),
    }
)  # fmt: skip


def of_meaning(meaning: str) -> tuple[str, ...]:
    """The checks that own a meaning of a log line; none for `other` and for what belongs to nobody."""
    group = meaning.partition(".")[0] + "."
    return _MEANINGS.get(meaning) or _MEANINGS.get(group, ())


def of_reason(meaning: str, role: Role | None = None) -> tuple[str, ...]:
    """The checks that own a class of deferrals, bounces or rejects; on a relay client the relay comes first of equals."""
    found = _REASONS.get(meaning, ())
    if role is Role.RELAY_CLIENT and meaning.startswith("connect."):
        first = tuple(each for each in found if each.startswith(("firewall.", "connectivity.r")))
        return (*first, *(each for each in found if each not in first))
    return found


def known_ids() -> frozenset[str]:
    """Every check that the tables name."""
    return frozenset(
        each.partition("@")[0] for table in (_MEANINGS, _REASONS) for ids in table.values() for each in ids
    )
