"""Wordings of real servers and what they mean."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from maildiag.logs.classify import Problem, classify
from maildiag.logs.lines import parse_line
from maildiag.logs.summary import summarise

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)

POSTFIX = [
    (
        "smtp",
        "warning: TLS policy lookup for partner.test/mx.partner.test: client TLS configuration problem",
        "tls.policy",
    ),
    (
        "smtp",
        'warning: smtp_tls_policy_maps, next-hop destination "partner.test": policy table lookup error',
        "map.lookup-error",
    ),
    ("smtp", "warning: connect to /run/tlspol/socket: No such file or directory", "map.server-socket"),
    ("postqueue", "fatal: bad numerical configuration: message_size_limit = 10240000 # 10MB", "config.bad-number"),
    ("postfix", "fatal: config variable inet_interfaces: host not found: loopback-only", "config.inet-interfaces"),
    ("smtp", "fatal: valid hostname or network address required in server description: #", "config.server-description"),
    ("qmgr", "warning: private/smtp socket: malformed response", "service.malformed"),
    (
        "smtpd",
        "warning: mydestination: comment at end of line is not supported: # mail.example.test",
        "config.comment-in-value",
    ),
    (
        "postfix",
        "fatal: /etc/postfix/main.cf, line 44: missing '=' after attribute name: \"this is wrong\"",
        "config.syntax",
    ),
    ("postconf", "warning: /etc/postfix/main.cf, line 44: overriding earlier entry: relayhost=", "config.duplicate"),
    ("postconf", "warning: undefined parameter: mua_client_restrictions", "config.undefined"),
    (
        "postconf",
        'warning: support for parameter "smtpd_use_tls" will be removed; instead, specify "smtpd_tls_security_level"',
        "config.deprecated",
    ),
    ("local", "error: open database /etc/aliases.db: No such file or directory", "map.missing"),
    (
        "cleanup",
        "warning: hash:/etc/postfix/virtual is unavailable. open database /etc/postfix/virtual.db: No such file or directory",
        "map.missing",
    ),
    (
        "smtpd",
        "warning: database /etc/postfix/virtual.db is older than source file /etc/postfix/virtual",
        "map.older-than-source",
    ),
    ("smtpd", "error: unsupported dictionary type: hash. Is the postfix-lmdb package installed?", "map.type-missing"),
    (
        "proxymap",
        "warning: mysql:/etc/postfix/mysql-virtual_forwardings.cf is unavailable. open /etc/postfix/mysql-virtual_forwardings.cf: Permission denied",
        "map.unreadable",
    ),
    (
        "cleanup",
        "warning: 4D4A3180CE2: virtual_alias_maps map lookup problem for a@v.test -- message not accepted, try again later",
        "map.lookup-error",
    ),
    ("pickup", "warning: 4D4A3180CE2: message has been queued for 45 days", "spool.old-message"),
    (
        "smtpd",
        "warning: connect to mysql server 127.0.0.1: Can't connect to MySQL server on '127.0.0.1' (111)",
        "map.backend-down",
    ),
    (
        "trivial-rewrite",
        "warning: do not list domain mail.example.test in BOTH mydestination and virtual_mailbox_domains",
        "config.domain-in-two-classes",
    ),
    (
        "local",
        "warning: unable to lookup :include: file /etc/postfix/team.list: No such file or directory",
        "alias.include",
    ),
    ("local", "warning: file /home/alice/.forward is world writable", "delivery.forward-closed"),
    ("local", "warning: file /home/alice/.forward has bad owner uid 1001", "delivery.forward-closed"),
    ("qmgr", "warning: connect to transport private/retry: No such file or directory", "service.connect"),
    ("master", "warning: service smtp: ignoring inet_interfaces change", "config.not-reloadable"),
    ("master", "warning: to change inet_interfaces, stop and start Postfix", "config.not-reloadable"),
    ("master", "fatal: bind 0.0.0.0 port 25: Address already in use", "start.port-taken"),
    ("postfix-script", "fatal: mail system startup failed", "start.failed"),
    (
        "master",
        "fatal: open lock file /var/lib/postfix/master.lock: unable to set exclusive lock: Resource temporarily unavailable",
        "start.already-running",
    ),
    ("postfix", "fatal: parameter inet_interfaces: no local interface found for ::1", "config.inet-interfaces"),
    ("postdrop", "warning: unable to look up public/pickup: No such file or directory", "start.pickup-socket"),
    ("postfix-script", "warning: /var/spool/postfix/etc/resolv.conf and /etc/resolv.conf differ", "chroot.differs"),
    (
        "master",
        'warning: service "smtp" (25) has reached its process limit "100": new clients may experience noticeable delays',
        "process.limit",
    ),
    (
        "smtpd",
        "warning: Connection rate limit exceeded: 2 from localhost[127.0.0.1] for service smtp",
        "client.rate-limit",
    ),
    ("cleanup", "warning: D1884CE: write queue file: No space left on device", "spool.write-error"),
    ("sendmail", "fatal: root(0): queue file write error", "spool.write-error"),
    ("postdrop", "warning: not enough free space in mail queue: 0 bytes < 1.5*message size limit", "spool.no-space"),
    (
        "smtp",
        "warning: host mail.example.test[127.0.0.2]:25 greeted me with my own hostname mail.example.test",
        "loop.own-name",
    ),
    ("smtp", "warning: relayhost configuration problem", "config.relayhost"),
    ("smtpd", "warning: connect to Milter service inet:localhost:8891: Connection refused", "milter.connect"),
    (
        "smtpd",
        "warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory",
        "sasl.socket-missing",
    ),
    ("smtpd", "warning: SASL: Connect to private/auth failed: Connection refused", "sasl.socket-refused"),
    (
        "smtpd",
        "warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: Permission denied",
        "sasl.socket-denied",
    ),
    ("smtpd", "fatal: no SASL authentication mechanisms", "sasl.no-mechanisms"),
    ("smtpd", "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: generic failure", "sasl.generic-failure"),
    (
        "submission/smtpd",
        "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=bob",
        "sasl.auth-failed",
    ),
    (
        "smtpd",
        'warning: cannot get RSA certificate from file "/etc/ssl/none.pem": disabling TLS support',
        "tls.certificate-unreadable",
    ),
    (
        "smtpd",
        "warning: TLS library problem: error:0B080074:x509 certificate routines::key values mismatch:../crypto/x509/x509_cmp.c:303:",
        "tls.key-mismatch",
    ),
    ("smtpd", "warning: No server certs available. TLS won't be enabled", "tls.no-certificate"),
    (
        "tlsmgr",
        "warning: btree:/nonexistent/smtpd_scache is unavailable. open database /nonexistent/smtpd_scache.db: No such file or directory",
        "tls.session-cache",
    ),
    ("tlsmgr", "warning: cannot open entropy device /dev/nonexistent: No such file or directory", "tls.entropy"),
    ("smtp", "error: open database /etc/postfix/sasl_passwd.db: No such file or directory", "map.missing"),
    ("smtp", "warning: SASL authentication failure: No worthy mechs found", "sasl.no-mechanism-out"),
    ("smtp", "warning: DNSSEC validation may be unavailable", "tls.dnssec"),
    ("master", "warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling", "process.throttled"),
    ("master", "warning: process /usr/lib/postfix/sbin/smtpd pid 4711 exit status 1", "process.exit"),
]

DOVECOT = [
    (
        "auth(alice,10.0.1.21,sasl:plain)<U6kSG0thwNIKAAEV>: Error: policy: Policy server HTTP error: connect(10.0.1.99:4001) failed: No route to host",
        "dovecot.policy-server",
    ),
    (
        "doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf line 33: Unknown setting: foo_bar",
        "dovecot.config-unknown-setting",
    ),
    (
        "doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf line 4: ssl_cert: Can't open file /etc/ssl/none.pem: No such file or directory",
        "dovecot.certificate",
    ),
    (
        "doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf line 4: ssl_server_cert_file: open(/etc/ssl/none.pem) failed: No such file or directory",
        "dovecot.certificate",
    ),
    (
        "master: Error: bind(/var/spool/postfix/private/auth) failed: No such file or directory",
        "dovecot.socket-directory",
    ),
    (
        "auth: Error: passwd-file /etc/dovecot/users:open(/etc/dovecot/users) failed: No such file or directory",
        "dovecot.passwd-file-missing",
    ),
    (
        "auth: Error: passwd-file /etc/dovecot/users:open(/etc/dovecot/users) failed: Permission denied (euid=103(dovecot) egid=107(dovecot) missing +r perm: /etc/dovecot/users, dir owned by 0:0 mode=0755)",
        "dovecot.passwd-file-unreadable",
    ),
    ("auth: Error: passwd-file /etc/dovecot/users: User a@v.test is missing userdb info", "dovecot.userdb-missing"),
    (
        "imap(a@v.test)<1234><ChCtQ0Zz>: Error: chdir(/var/vmail/a@v.test/) failed: Permission denied (euid=5000(vmail) egid=5000(vmail) missing +x perm: /var/vmail, dir owned by 0:0 mode=0700)",
        "dovecot.permission",
    ),
    (
        "imap-login: Error: proxy(alice,10.0.1.99:143): connect(10.0.1.99, 143) failed: No route to host (after 16 secs, 3 reconnects, local=10.0.1.10:44236): user=<alice>, method=PLAIN, rip=10.0.1.21, lip=10.0.1.10, session=<uR/5glJh+qcKAAEV>",
        "dovecot.proxy",
    ),
    (
        "auth: Error: auth-worker: net_connect_unix(auth-worker) in directory /run/dovecot failed: Permission denied (euid=65534(nobody) egid=65534(nogroup) missing +r perm: /run/dovecot/auth-worker, dir owned by 0:0 mode=0755)",
        "dovecot.socket",
    ),
    (
        "imap(alice)<271><mBhewFJh2MoKAAEV>: Error: Mailbox INBOX: open(/home/alice/Maildir/dovecot-uidlist) failed: Is a directory",
        "dovecot.mailbox-file",
    ),
    (  # the auth worker of 2.4 has the level behind the number of the request
        "auth-worker(alice,10.0.1.21)<218><KToor1JhwLUKAAEV>: request [1]: Error: pam: pam_acct_mgmt() failed: Permission denied",
        "dovecot.auth-refused",
    ),
    (
        "imap(alice)<273><UhwoL1JheLcKAAEK>: Error: Mailbox INBOX: open(/home/alice/Maildir/dovecot-uidlist) failed: Operation not permitted",
        "dovecot.permission",
    ),
    (
        "imap(alice)<295><r+uEMVJh3K4KAAEK>: Error: Mailbox INBOX: file_dotlock_create(alice) in directory /var/mail failed: Permission denied (euid=1000(alice) egid=8(mail) missing +w perm: /var/mail, dir owned by 0:0 mode=0755)",
        "dovecot.permission",
    ),
    ("lmtp(a@v.test)<12><zz>: Error: save failed to INBOX: Quota exceeded (mailbox for user is full)", "dovecot.quota"),
    (
        "master: Warning: service(imap-login): client_limit/service_count (1) reached, client connections are being dropped",
        "dovecot.client-limit",
    ),
    (
        "master: Warning: service(imap-login): process_limit (100) reached, client connections are being dropped",
        "dovecot.process-limit",
    ),
    (
        "master: Warning: fd limit (ulimit -n) is lower than required under max. load (256 < 1000), because of default_client_limit",
        "dovecot.fd-limit",
    ),
    ("auth: Error: read(anvil-auth-penalty) failed: EOF", "dovecot.anvil"),
    ("auth: Error: net_connect_unix(anvil-auth-penalty) failed: Permission denied", "dovecot.anvil"),
    (
        "imap: Error: dovecot/imap: error while loading shared libraries: libdovecot-storage.so.0: cannot open shared object file: No such file or directory",
        "dovecot.library",
    ),
    (
        "doveadm: Error: net_connect_unix(/var/run/dovecot/stats-writer) failed: Permission denied",
        "dovecot.stats-writer",
    ),
    (
        "imap(u)<1><a>: Error: Corrupted index cache file /home/u/Maildir/dovecot.index.cache: invalid record size",
        "dovecot.index",
    ),
    (
        "imap-login: Error: Can't load SSL private key (ssl_server_key_file setting): Key file is for a different certificate file",
        "dovecot.key-mismatch",
    ),
    ("master: Error: service(imap): command startup failed, throttling for 2.000 secs", "dovecot.throttled"),
]

SYSTEM = [
    (
        "kernel",
        'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="/usr/sbin/dovecot" name="/srv/mail/" pid=1 comm="imap" requested_mask="r"',
        "kernel.apparmor",
    ),
    (
        "kernel",
        'audit: avc: denied { name_connect } for pid=1 comm="smtp" dest=2525 scontext=a tcontext=b tclass=tcp_socket',
        "kernel.selinux",
    ),
    # After the wording in fedora-selinux/selinux-policy pull requests 2154, 1971 and 2123, and cryptofuture/apparmor-profiles 4.
    (
        "kernel",
        'audit: type=1400 audit(1716541501.1:12): avc:  denied  { write } for  pid=81 comm=smtpd name=.s.PGSQL.5432 dev="tmpfs" '
        "ino=7 scontext=system_u:system_r:postfix_smtpd_t:s0 tcontext=system_u:object_r:postgresql_var_run_t:s0 tclass=sock_file permissive=0",
        "kernel.selinux",
    ),
    (
        "kernel",
        'audit: type=1400 audit(1715853536.0:60): avc:  denied  { map } for  pid=88 comm=smtpd path=/etc/aliases.lmdb dev="vda2" '
        "ino=7 scontext=system_u:system_r:postfix_smtpd_t:s0 tcontext=system_u:object_r:etc_aliases_t:s0 tclass=file permissive=1",
        "kernel.selinux-permissive",
    ),
    (
        "audit",
        'AVC apparmor="DENIED" operation="mknod" profile="/usr/lib/dovecot/imap" name="/tmp/dovecot.imap.mail.81.55f2" pid=81 '
        'comm="imap" requested_mask="c" denied_mask="c" fsuid=1001 ouid=1001',
        "kernel.apparmor",
    ),
    (
        "kernel",
        'audit: type=1400 audit(1769693389.1:44): apparmor="DENIED" operation="open" class="file" profile="dovecot" '
        'name="/etc/nsswitch.conf" pid=81 comm="dovecot" requested_mask="r" denied_mask="r" fsuid=0 ouid=0',
        "kernel.apparmor",
    ),
    ("systemd", "postfix@-.service: Start request repeated too quickly.", "systemd.start-limit"),
    ("systemd-journald", "Suppressed 1043 messages from postfix.service", "journal.rate-limit"),
]


RECORDED = sorted((Path(__file__).parent / "data").glob("*.log"))


@pytest.mark.parametrize("path", RECORDED, ids=[path.name for path in RECORDED])
def test_every_problem_of_a_recorded_server_has_a_class(path: Path) -> None:
    with path.open(errors="replace") as lines:
        found = summarise(lines, NOW)
    assert found.unparsed == 0
    assert [group.key for group in found.groups if group.meaning == "other"] == []
    assert [group.reason.text for group in found.reasons if group.reason.meaning == "other"] == []


def problem(program: str, text: str) -> Problem:
    line = parse_line(f"Nov 22 10:06:08 mail {program}[812]: {text}", NOW)
    assert line is not None
    found = classify(line)
    assert found is not None, text
    return found


@pytest.mark.parametrize(("daemon", "text", "meaning"), POSTFIX)
def test_a_postfix_wording_has_its_meaning(daemon: str, text: str, meaning: str) -> None:
    assert problem(f"postfix/{daemon}", text).meaning == meaning


@pytest.mark.parametrize(("text", "meaning"), DOVECOT)
def test_a_dovecot_wording_has_its_meaning(text: str, meaning: str) -> None:
    assert problem("dovecot", text).meaning == meaning


@pytest.mark.parametrize(("program", "text", "meaning"), SYSTEM)
def test_a_system_wording_has_its_meaning(program: str, text: str, meaning: str) -> None:
    assert problem(program, text).meaning == meaning


def test_a_wording_that_no_class_knows_is_still_a_problem() -> None:
    found = problem("postfix/smtpd", "warning: the moon is in 4 of 12 houses")
    assert (found.meaning, found.severity, found.key) == ("other", "warning", "the moon is in N of N houses")


def test_what_varies_is_captured_and_leaves_the_key() -> None:
    found = problem(
        "postfix/smtpd",
        "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=bob",
    )
    assert found.fields["address"] == "192.0.2.7"
    assert found.fields["user"] == "bob"
    assert "192.0.2.7" not in found.key


def test_a_line_that_reports_no_problem_is_none() -> None:
    line = parse_line("Nov 22 10:06:08 mail postfix/qmgr[1]: 4D4A3180CE2: removed", NOW)
    assert line is not None
    assert classify(line) is None
