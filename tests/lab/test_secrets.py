"""Secrets in every place that people put them on a real mail server: none is in a bundle, and none in a report."""

from __future__ import annotations

import pytest

from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

_MARK = "Zq7vXk"  # every planted secret begins with it

_MAIN = """
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/relay_auth
lmtp_sasl_password_maps = static:user:SECRET
virtual_alias_maps = mysql:/etc/postfix/valias.cf, ldap:oldldap, pgsql:/etc/postfix/people.cf
oldldap_server_host = ldap://admin:SECRET@10.0.0.1
oldldap_bind_pw = SECRET
oldsql_password = SECRET
import_environment = MAIL_CONFIG DB_PASSWORD=SECRET
smtpd_tls_chain_files = /etc/ssl/combined.pem
# old password: SECRET
"""
_MASTER = """
out587 unix - - n - - smtp
  -o smtp_sasl_password_maps=static:alice:SECRET
  -o lmtp_sasl_password_maps=inline:{{10.0.0.1=alice:SECRET}}
hook unix - n n - - pipe
  flags=R user=nobody argv=/usr/bin/curl -u bot:SECRET --token=SECRET --password SECRET https://bot:SECRET@example.test/
"""
_DATABASE = "hosts = 127.0.0.1\nuser = mail\npassword = SECRET\nbind_pw = SECRET\ndbname = mail\nquery = SELECT 1\n"
_DOVECOT = """
doveadm_password = SECRET
doveadm_api_key = SECRET
imapc_password = SECRET
auth_policy_server_api_header = Authorization: Basic SECRET
auth_policy_hash_nonce = SECRET
# imapc_password = SECRET
#connect = host=db dbname=mail user=mail password=SECRET
"""
_OLD = """
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/dovecot/people
}
passdb {
  driver = static
  args = user=zoe password=SECRET
}
plugin {
  fts_solr = url=http://solr:SECRET@127.0.0.1:8983/
}
"""
_NEW = """
passdb passwd-file {
  passwd_file_path = /etc/dovecot/people
  default_password_scheme = plain
}
passdb static {
  password = SECRET
}
"""
_LOG = (
    "auth: Debug: pam(alice,10.0.1.9): Password mismatch (given password: SECRET)",
    "auth: Error: ldap(x): Initial binding failed: uris=ldap://cn=admin:SECRET@ldap.example.test/",
    "warning: dict_mysql: connect to mysql server mail:SECRET@127.0.0.1 failed",
)


def plant(lab: Lab) -> None:
    mail = lab.mail

    def append(path: str, text: str) -> None:
        mail.write(path, mail.read(path) + text.replace("SECRET", f"{_MARK}9Tr"))

    def write(path: str, text: str) -> None:
        mail.write(path, text.replace("SECRET", f"{_MARK}9Tr"))

    append("/etc/postfix/main.cf", _MAIN)
    append("/etc/postfix/master.cf", _MASTER)
    append("/etc/aliases", '\nbot: "|/usr/local/bin/hook --password=SECRET --api-key SECRET"\n')
    for name in ("valias.cf", "people.cf"):
        write(f"/etc/postfix/{name}", _DATABASE)
    write("/etc/postfix/relay_auth", "[10.0.1.77]:587 bob:SECRET\n# old: bob:SECRET\n")
    write("/etc/dovecot/people", "dave:{PLAIN}SECRET::::::\n")
    write("/etc/dovecot/conf.d/99-planted.conf", _DOVECOT + (_NEW if lab.release.name == "debian13" else _OLD))
    write("/etc/rsyslog.d/60-database.conf", '#*.* :ommysql:db,Syslog,rsyslog,SECRET\n#action(uid="u" pwd="SECRET")\n')
    mail.sh("postmap hash:/etc/postfix/relay_auth; newaliases; cd /etc/ssl && openssl req -x509 -newkey rsa:2048 -nodes "
            "-keyout key.new -out certificate.new -days 30 -subj /CN=mail.example.test && cat key.new certificate.new >combined.pem")  # fmt: skip
    mail.sh(f"python3 -c 'import time; time.sleep(600)' --password {_MARK}9Tr -p{_MARK}9Tr >/dev/null 2>&1 &")
    for line in _LOG:
        mail.run(["logger", "-p", "mail.warning", "-t", "postfix/smtp", line.replace("SECRET", f"{_MARK}9Tr")])
    mail.sh("systemctl restart postfix dovecot", check=False)


def test_no_planted_secret_is_in_a_bundle_or_in_a_report(breakable_lab: Lab) -> None:
    plant(breakable_lab)
    mail = breakable_lab.mail
    key = mail.read("/etc/ssl/key.new").splitlines()[2]
    for extra in ([], ["--pseudonymise"]):
        done = mail.maildiag("bundle", "-o", "/root/planted.jsonl", "--yes", *extra)
        assert "tells something else" not in done.stderr
        told = mail.read("/root/planted.jsonl")
        assert places(told, _MARK) == []
        assert places(told, key) == []
    for form in ("json", "text", "markdown", "html"):
        assert places(mail.maildiag("run", "--format", form, "--no-history").stdout, _MARK) == []


def places(text: str, secret: str) -> list[str]:
    """What stands before each place where the secret is."""
    return [part[-120:] for part in text.split(secret)[:-1]]
