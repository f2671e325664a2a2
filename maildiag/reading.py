"""The whole list of files that maildiag reads while it diagnoses, and why; what holds secrets is in `maildiag.secrets`."""

from __future__ import annotations

from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Files:
    """Paths (`*` stands for any name), and what they are read for; `named`: what else the host's configuration may name."""

    paths: tuple[str, ...]
    why: str
    named: str = ""


FILES = (
    Files(
        ("/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/mailname", "/etc/aliases", "/etc/postfix/*"),
        "Postfix's configuration and its tables, line by line",
        "tables elsewhere (never password maps, nor SQL and LDAP logins)",
    ),
    Files(
        ("/etc/dovecot/*.conf", "/etc/dovecot/conf.d/*", "/usr/share/dovecot/protocols.d/*"),
        "Dovecot's configuration; values of passwords and keys are cut while reading",
        "files that these include; the names in lists of denied users",
    ),
    Files(
        ("/var/log/mail.log*", "/var/log/maillog*", "/var/log/mail/mail.log"),
        "the last megabytes of the log",
        "`log_files` of maildiag's own configuration",
    ),
    Files(("/etc/rsyslog.conf", "/etc/rsyslog.d/*", "/etc/localtime"), "where the log goes, and its clock"),
    Files(("/home/*/.forward",), "where people send their mail on to", "the homes of accounts elsewhere"),
    Files(("/etc/passwd", "/etc/group"), "whether the system finds the names in them, and where passwords are kept"),
    Files(
        ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/services", "/var/spool/postfix/etc/*"),
        "how names are resolved, also in Postfix's chroot",
    ),
    Files(
        (
            "/etc/firewalld/*",
            "/usr/lib/firewalld/*",
            "/etc/iptables/*",
            "/etc/nftables.conf",
            "/etc/sysconfig/iptables",
            "/etc/sysconfig/nftables.conf",
        ),
        "firewall rules that come with the next boot",
    ),
    Files(("/etc/pam.d/*",), "how Dovecot asks PAM", "what these include"),
    Files(
        ("/etc/ssl/certs/*", "/etc/pki/tls/certs/*"), "dates, names and chain", "certificates elsewhere (never keys)"
    ),
    Files(
        (
            "/etc/opendkim.conf",
            "/etc/opendkim/KeyTable",
            "/etc/rspamd/local.d/dkim_signing.conf",
            "/etc/rspamd/override.d/dkim_signing.conf",
        ),
        "by which keys mail is signed",
        "OpenDKIM's KeyTable (never keys)",
    ),
    Files(("/etc/os-release", "/proc/*"), "which system this is; processes, sockets, addresses"),
)
