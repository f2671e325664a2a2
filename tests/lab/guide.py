"""Configures hosts as the guide says, value by value, the way a careful administrator types it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.lab.hosts import APP02, MAIL, Host, Spec
from tests.lab.images import Release
from tests.lab.network import DNS_ADDRESS
from tests.lab.pki import Pki

DOMAIN = "example.test"
PASSWORDS: Mapping[str, str] = {"alice": "alice-Secret-1", "bob": "bob-Secret-2"}

CHAIN_FILE = "/etc/ssl/certs/mail.example.test.pem"
KEY_FILE = "/etc/ssl/private/mail.example.test.key"
FIREWALLD_SERVICES = ("smtp", "imap", "pop3", "imaps", "pop3s", "smtp-submission")

# The guide's values without the comments that it prints behind them (Postfix would take them for part of the value).
MAIL_MAIN_CF = {
    "myhostname": "mail.example.test",
    "mydomain": DOMAIN,
    "myorigin": "$mydomain",
    "inet_interfaces": "all",
    "inet_protocols": "ipv4",
    "mydestination": "$myhostname, localhost.$mydomain, localhost, $mydomain",
    "home_mailbox": "Maildir/",
    "mynetworks": "127.0.0.0/8 10.0.1.0/24",
    "smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_tls_cert_file": CHAIN_FILE,
    "smtpd_tls_key_file": KEY_FILE,
    "smtpd_tls_security_level": "may",
    "smtpd_tls_auth_only": "yes",
    "smtpd_sasl_type": "dovecot",
    "smtpd_sasl_path": "private/auth",
    "smtpd_sasl_auth_enable": "yes",
}

APP_MAIN_CF = {
    "mydomain": DOMAIN,
    "myorigin": "$mydomain",
    "relayhost": "[10.0.1.10]:25",
    "mydestination": "",
    "inet_interfaces": "loopback-only",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
}

SUBMISSION_OPTIONS = {
    "syslog_name": "postfix/submission",
    "smtpd_tls_security_level": "encrypt",
    "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
    "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject",
}

_DOVECOT = "/etc/dovecot/dovecot.conf"
_DOVECOT_D = "/etc/dovecot/conf.d"

DOVECOT_23 = {
    _DOVECOT: {"protocols": "imap pop3 lmtp", "listen": "*"},
    f"{_DOVECOT_D}/10-mail.conf": {"mail_location": "maildir:~/Maildir", "mail_privileged_group": "mail"},
    f"{_DOVECOT_D}/10-auth.conf": {"disable_plaintext_auth": "no", "auth_mechanisms": "plain login"},
    f"{_DOVECOT_D}/10-ssl.conf": {"ssl": "yes", "ssl_cert": f"<{CHAIN_FILE}", "ssl_key": f"<{KEY_FILE}"},
}

# 2.4 renamed most settings, and Debian's own mail_inbox_path keeps the INBOX in /var/mail unless it is set too.
DOVECOT_24 = {
    _DOVECOT: {"protocols": "imap pop3 lmtp", "listen": "*"},
    f"{_DOVECOT_D}/10-mail.conf": {
        "mail_driver": "maildir",
        "mail_path": "~/Maildir",
        "mail_inbox_path": "~/Maildir",
        "mail_privileged_group": "mail",
    },
    f"{_DOVECOT_D}/10-auth.conf": {"auth_allow_cleartext": "yes", "auth_mechanisms": "plain login"},
    f"{_DOVECOT_D}/10-ssl.conf": {"ssl": "yes", "ssl_server_cert_file": CHAIN_FILE, "ssl_server_key_file": KEY_FILE},
}

_AUTH_LISTENER = """\
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
"""

_CREATE_USER = """\
useradd --create-home --shell /bin/bash "$0"
chpasswd
install -d -m 700 -o "$0" -g "$0" "/home/$0/Maildir" "/home/$0/Maildir/new" "/home/$0/Maildir/cur" "/home/$0/Maildir/tmp"
"""


def configure(host: Host, release: Release, pki: Pki) -> None:
    """Turn a freshly booted bare host into the one of the guide that has its name; it runs healthy when this returns."""
    _base(host, pki)
    if host.name == MAIL.name:
        _mail_server(host, release, pki)
    else:
        _application_server(host)


def _base(host: Host, pki: Pki) -> None:
    fqdn = f"{host.name}.{DOMAIN}"
    host.write("/etc/hostname", f"{host.name}\n")
    host.write("/etc/hosts", _hosts_file(Spec(host.name, host.address)))
    host.write("/etc/resolv.conf", f"search {DOMAIN}\nnameserver {DNS_ADDRESS}\n")
    host.write("/etc/mailname", f"{DOMAIN if host.name == MAIL.name else fqdn}\n")
    host.write("/usr/local/share/ca-certificates/lab-ca.crt", pki.ca)
    host.write("/root/.ssh/id_ed25519", pki.ssh_key, mode=0o600)
    host.write("/root/.ssh/authorized_keys", pki.ssh_public, mode=0o600)
    host.write("/root/.ssh/config", "StrictHostKeyChecking accept-new\n")
    host.sh(
        f"hostname {host.name}; update-ca-certificates; rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh rsyslog",
        timeout=60,
    )


def _hosts_file(spec: Spec) -> str:
    """No 127.0.1.1 for the host's own name: Postfix would announce a loopback address to the world."""
    loopback = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
    return f"{loopback}{spec.address} {spec.name}.{DOMAIN} {spec.name}\n"


def _mail_server(host: Host, release: Release, pki: Pki) -> None:
    for user, password in PASSWORDS.items():
        host.run(["bash", "-euo", "pipefail", "-c", _CREATE_USER, user], input=f"{user}:{password}\n")
    host.write(CHAIN_FILE, pki.chain, mode=0o644)
    host.write(KEY_FILE, pki.key, mode=0o640, owner="root:ssl-cert")
    host.write("/root/lab-ca/ca.crt", pki.ca)
    host.write("/root/lab-ca/ca.key", pki.ca_key, mode=0o600)
    _dovecot(host, release)
    host.run(["systemctl", "restart", "dovecot"])
    _postconf(host, MAIL_MAIN_CF)
    host.run(["postconf", "-Me", "submission/inet=submission inet n - y - - smtpd"])
    host.run(["postconf", "-Pe", *(f"submission/inet/{name}={value}" for name, value in SUBMISSION_OPTIONS.items())])
    host.write("/etc/aliases", "# See man 5 aliases for format\npostmaster: root\nroot: alice\n")
    host.sh("newaliases; postfix check; systemctl restart postfix")
    services = " ".join(f"--add-service={service}" for service in FIREWALLD_SERVICES)
    permanently = "firewall-cmd --permanent --zone=public"
    host.sh(f"{permanently} --change-interface=eth0; {permanently} {services}; firewall-cmd --reload")
    host.sh("systemctl disable --now ufw")


def _application_server(host: Host) -> None:
    _postconf(host, {"myhostname": f"{host.name}.{DOMAIN}", **APP_MAIN_CF})
    host.sh("newaliases; postfix check; systemctl restart postfix")
    host.sh("systemctl disable --now dovecot firewalld; systemctl mask dovecot")
    if host.name == APP02.name:
        host.sh("ufw allow OpenSSH; ufw --force enable")
    else:
        host.sh("systemctl disable --now ufw")


def _postconf(host: Host, settings: Mapping[str, str]) -> None:
    host.run(["postconf", "-e", *(f"{name} = {value}" for name, value in settings.items())])


def _dovecot(host: Host, release: Release) -> None:
    files = DOVECOT_23 if release.name == "debian12" else DOVECOT_24
    for path, settings in files.items():
        text = host.read(path)
        for name, value in settings.items():
            text = with_setting(text, name, value)
        host.write(path, text)
    master = f"{_DOVECOT_D}/10-master.conf"
    host.write(master, host.read(master).replace("service auth {\n", _AUTH_LISTENER, 1))


def with_setting(text: str, name: str, value: str) -> str:
    """The configuration `text` with `name = value` in the place of its first such line, commented out or not, or at its end."""
    line = re.compile(rf"^#?[ ]?{re.escape(name)}[ ]*=.*$", re.MULTILINE)
    new = f"{name} = {value}"
    return line.sub(lambda _: new, text, count=1) if line.search(text) else f"{text.rstrip()}\n{new}\n"
