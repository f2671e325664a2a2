"""The whole list of programs that maildiag may run while it diagnoses, and why: none of them changes the host."""

from __future__ import annotations

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROGRAMS: dict[str, str] = {
    "postconf": "Postfix's configuration as Postfix reads it",
    "postqueue": "the mail queue",
    "postmap": "queries of lookup tables (-q), never their building",
    "postalias": "queries of alias tables (-q), never their building",
    "postcat": "headers of one queued message, when it is asked for",
    "doveconf": "Dovecot's configuration as Dovecot reads it",
    "dovecot": "Dovecot's version",
    "doveadm": "user look-ups, mailbox paths, process and log status",
    "systemctl": "unit states",
    "journalctl": "log lines of the mail units",
    "service": "service states on hosts without systemd",
    "getent": "names and accounts as the system resolves them",
    "hostname": "the host's own names",
    "ip": "addresses and routes",
    "ss": "listening sockets",
    "firewall-cmd": "firewalld's zones, services and ports (reading options only)",
    "ufw": "ufw's rules (status only)",
    "nft": "the nftables ruleset (list only)",
    "iptables": "iptables rules (-S only)",
    "ip6tables": "ip6tables rules (-S only)",
    "iptables-save": "iptables rules as text",
    "fail2ban-client": "jails and banned addresses (status only)",
    "getenforce": "SELinux mode",
    "ls": "SELinux labels of mail files (-Z)",
    "aa-status": "AppArmor profiles",
    "openssl": "reading certificates (x509, pkey; never printing a key)",
    "timedatectl": "clock and time synchronisation",
    "resolvectl": "the resolver's state",
    "postfix": "Postfix's status (never start, stop or check while diagnosing)",
    "id": "group membership of the mail accounts",
    "mailq": "the queue on hosts without postqueue -j",
    "dpkg-query": "versions of installed mail packages",
    "rpm": "versions of installed mail packages",
    "passwd": "whether the password of an account is locked (-S only), where its logins fail",
    "chage": "whether an account or its password has expired (-l only), where its logins fail",
    "ping": "packet loss and path MTU towards a relay that fails, three packets",
}
