"""What the checks say of queues, losses, senders, and the spool's owners and modes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.queue import Maildrop, Queue
from maildiag.facts.spool import Spool, SpoolPath, Wanted, expected
from maildiag.facts.tables import Table, Tables
from maildiag.lint.tables import TableUse
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import FileInfo, FileKind
from maildiag.queue.entries import Entry, Recipient
from maildiag.queue.grouping import group
from maildiag.settings import Settings
from maildiag.testing import file, info, judge
from maildiag_checks.queue import age, backlog, hold, sender
from maildiag_checks.queue_deferred import deferred
from maildiag_checks.queue_lost import lost
from maildiag_checks.queue_spool import directories, maildrop
from tests.unit.postfix_files import config
from tests.unit.recorded import log, master, services

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SERVER, CLIENT = HostRole(Role.MAIL_SERVER, "test"), HostRole(Role.RELAY_CLIENT, "test")
RELAYED = Postfix(installed=True, settings={"relayhost": "[10.0.1.10]:25"})
DIRECT = Postfix(installed=True, settings={"relayhost": ""})
REFUSED = "connect to 10.0.1.10[10.0.1.10]:25: Connection refused"
GREY = "host mx.b.test[192.0.2.1] said: 450 4.2.0 <a@b.test>: Recipient address rejected: Greylisted (in reply to RCPT TO command)"


def entry(
    number: int, reason: str, *, old: int = 600, to: str = "a@b.test", queue: str = "deferred", sender: str = ""
) -> Entry:
    arrived = int(NOW.timestamp()) - old
    return Entry(
        queue, f"ABC{number:05X}", arrived, 1000, sender or f"u{number}@example.test", (Recipient(to, reason),)
    )


def queue_of(*entries: Entry) -> Queue:
    now = int(NOW.timestamp())
    return Queue(group(entries, now), now)


def line(minutes_ago: float, text: str) -> str:
    return f"{(NOW - timedelta(minutes=minutes_ago)).isoformat()} mail {text}\n"


def status_line(status: str, reason: str, to: str = "a@b.test", dsn: str = "4.4.1") -> str:
    return f"postfix/smtp[9]: ABC00001: to=<{to}>, relay=none, delay=1, delays=0/0/1/0, dsn={dsn}, status={status} ({reason})"


# Recorded with `content_filter = filter:dummy`, and a transport of pipe(8) that runs /bin/false, or a script whose
# interpreter is not there (Postfix 3.7).
DIED = (
    "postfix/pipe[580]: 2EBF6D7: to=<alice@example.test>, relay=filter, delay=0.05, delays=0.02/0.01/0/0.01, dsn=5.3.0, "
    'status=bounced (Command died with status 1: "/bin/false")',
    "postfix/bounce[582]: 2EBF6D7: sender non-delivery notification: 3836CDD",
    "postfix/local[583]: 3836CDD: to=<alice@example.test>, orig_to=<root@example.test>, relay=local, delay=0.02, "
    "delays=0/0.01/0/0, dsn=2.0.0, status=sent (delivered to maildir)",
)
NOT_STARTED = "temporary failure. Command output: pipe: fatal: pipe_command: execvp /usr/local/bin/fil: No such file or directory "
FILTERED = config(
    "content_filter = filter:dummy\n",
    master="filter unix - n n - - pipe\n  flags=Rq user=nobody null_sender= argv=/usr/local/bin/fil ${sender}\n",
)


def test_a_filter_that_dies_is_no_lesser_trouble_for_the_news_of_it_that_arrived() -> None:
    told = judge_lost(*DIED, config=FILTERED)
    assert (told.status, told.subject) == (Status.CRITICAL, "local.command")
    assert "master.cf line 1 runs /usr/local/bin/fil, main.cf line 48 sends mail there" in told.title


def test_a_filter_that_refuses_a_message_on_purpose_is_no_outage() -> None:
    refused = DIED[0].replace('Command died with status 1: "/bin/false"', "service unavailable. Command output: spam")
    told = judge_lost(refused, *DIED[1:], config=FILTERED)
    assert told.status is not Status.CRITICAL


def test_a_filter_whose_interpreter_is_missing_holds_all_mail_back() -> None:
    waiting = queue_of(entry(1, NOT_STARTED, to="alice@example.test"))
    told = (
        f"postfix/pipe[858]: ABC00001: to=<alice@example.test>, relay=filter, delay=0.04, delays=0.02/0.01/0/0.01, "
        f"dsn=4.3.0, status=deferred ({NOT_STARTED})"
    )
    (found,) = judge(deferred, waiting, SERVER, log(line(1, told), "", NOW), DIRECT, FILTERED, None)
    assert found.status is Status.CRITICAL
    assert "it is the interpreter in its first line (#!) that is missing" in found.detail
    assert found.evidence[0].text == "filter/unix: pipe argv=/usr/local/bin/fil"


def test_a_command_of_an_alias_that_may_not_be_executed_is_told_with_its_line() -> None:
    why = "temporary failure. Command output: local: fatal: execvp /root/script: Permission denied "
    told = (
        "postfix/local[1564]: 8394F5C1: to=<alice@example.test>, orig_to=<alice>, relay=local, delay=0.1, "
        f"delays=0.07/0.01/0/0.02, dsn=4.3.0, status=deferred ({why})"
    )
    text = file('root: alice\nalice: "|/root/script"\n')
    use = TableUse("hash", "/etc/aliases", "alias_maps")
    aliases = Table(use=use, users=("alias_maps",), source=info("/etc/aliases"), text=text)
    waiting = queue_of(entry(1, why, to="alice@example.test"))
    (found,) = judge(deferred, waiting, SERVER, log(line(1, told), "", NOW), DIRECT, FILTERED, Tables((aliases,)))
    assert found.subject == "local.command"
    assert found.title.endswith("/etc/aliases line 2 has it run")


def judge_lost(*lines: str, config: PostfixConfig | None = None) -> Verdict:
    text = "".join(line(1, each) for each in lines)
    (told,) = judge(lost, log(text, "", NOW), SERVER, config, None)
    return told


HOLD_RULES = (
    "postfix/cleanup[412]: BB872197: hold: header Subject: hold x from local; from=<alice@example.test> to=<joe@partner.test>: by rule",
    "postfix/smtpd[414]: NOQUEUE: hold: RCPT from mx.partner.test[10.0.1.30]: <bob@example.test>: Recipient address triggers "
    "HOLD action; from=<joe@partner.test> to=<bob@example.test> proto=ESMTP helo=<mx.partner.test>",
)
STARTED = "postfix/master[1]: daemon started -- version 3.7.11, configuration /etc/postfix"
SENT = status_line("sent", "250 2.0.0 Ok", dsn="2.0.0")


def why(queue: Queue, role: HostRole, postfix: Postfix, mail: str = "") -> list[Verdict]:
    return judge(deferred, queue, role, log(mail or line(50, STARTED), "", NOW), postfix, None, None)


def test_the_limit_of_the_documentation_is_a_hundred() -> None:
    few, many = (queue_of(*(entry(n, REFUSED) for n in range(count))) for count in (100, 101))
    assert judge(backlog, few, Settings())[0].status is Status.OK
    (verdict,) = judge(backlog, many, Settings())
    assert verdict.status is Status.WARNING
    assert "101 messages queued, over the limit of 100" in verdict.title


def test_an_empty_queue_is_fine() -> None:
    assert [each.status for each in why(queue_of(), SERVER, DIRECT)] == [Status.OK]


def test_a_relay_that_refuses_is_critical_and_points_at_the_relay() -> None:
    (verdict,) = why(
        queue_of(entry(1, REFUSED)), CLIENT, RELAYED, line(5, STARTED) + line(1, status_line("deferred", REFUSED))
    )
    assert verdict.status is Status.CRITICAL
    assert verdict.subject == "connect.refused"
    assert verdict.explained_by is not None
    assert verdict.explained_by[0] == "connectivity.relayhost"


def test_trouble_before_the_last_success_through_the_relay_only_waits() -> None:
    mail = line(50, STARTED) + line(30, status_line("deferred", REFUSED)) + line(1, SENT)
    (verdict,) = why(queue_of(entry(1, REFUSED)), CLIENT, RELAYED, mail)
    assert verdict.status is Status.NOTICE
    assert verdict.fixes[0].commands == (("postqueue", "-f"),)


def test_trouble_before_the_last_reload_is_not_blamed_again() -> None:
    mail = line(30, status_line("deferred", REFUSED)) + line(10, STARTED)
    assert why(queue_of(entry(1, REFUSED)), SERVER, DIRECT, mail)[0].status is Status.NOTICE


@pytest.mark.parametrize(("old", "expected_status"), [(600, Status.NOTICE), (7200, Status.WARNING)])
def test_greylisting_is_a_matter_of_age(old: int, expected_status: Status) -> None:
    assert why(queue_of(entry(1, GREY, old=old)), SERVER, DIRECT)[0].status is expected_status


def test_one_foreign_domain_that_is_down_is_everyday_on_a_server_that_delivers() -> None:
    timeout = "connect to mx.b.test[192.0.2.1]:25: Connection timed out"
    mail = line(50, STARTED) + line(2, status_line("deferred", timeout)) + line(1, SENT)
    assert why(queue_of(entry(1, timeout), entry(2, timeout)), SERVER, DIRECT, mail)[0].status is Status.NOTICE


def test_many_foreign_domains_that_time_out_are_a_warning() -> None:
    timeout = "connect to mx[192.0.2.1]:25: Connection timed out"
    found = queue_of(*(entry(n, timeout, to=f"a@d{n}.test") for n in range(6)))
    (verdict,) = why(found, SERVER, DIRECT, line(2, status_line("deferred", timeout)))
    assert verdict.status is Status.WARNING
    assert verdict.explained_by is not None
    assert "firewall.outbound" in verdict.explained_by


@pytest.mark.parametrize("level", ["encrypt", "may"])
def test_tls_that_this_host_demands_of_everybody_is_named_with_its_line(level: str) -> None:
    reason = "TLS is required, but was not offered by host mx.partner.test[10.0.1.30]"
    direct = Postfix(True, "3.7", {"relayhost": "", "smtp_tls_security_level": level})
    mail = log(line(2, status_line("deferred", reason, dsn="4.7.4")), "", NOW)
    made = config(f"smtp_tls_security_level = {level}\n")
    (verdict,) = judge(deferred, queue_of(entry(1, reason)), SERVER, mail, direct, made, None)
    assert verdict.status is Status.WARNING
    assert verdict.title.startswith("smtp_tls_security_level = encrypt demands") is (level == "encrypt")
    assert ("main.cf" in verdict.evidence[0].source) is (level == "encrypt")
    assert not any(fix.automatic for fix in verdict.fixes)
    assert "TLS is required" in verdict.title


def test_many_foreign_domains_are_everyday_while_mail_leaves_for_others() -> None:
    timeout = "connect to mx[192.0.2.1]:25: Connection timed out"
    found = queue_of(*(entry(n, timeout, to=f"a@d{n}.test") for n in range(6)))
    refused, elsewhere = status_line("deferred", timeout), status_line("sent", "250 2.0.0 Ok", dsn="2.0.0")
    elsewhere = elsewhere.replace("relay=none", "relay=mx.partner.test[192.0.2.9]:25")
    between = line(50, refused) + line(5, elsewhere) + line(1, refused)
    assert why(found, SERVER, DIRECT, between)[0].status is Status.NOTICE
    before = line(50, elsewhere) + line(5, refused) + line(1, refused)
    assert why(found, SERVER, DIRECT, before)[0].status is Status.WARNING


def test_trouble_of_this_host_s_own_is_critical() -> None:
    (verdict,) = why(queue_of(entry(1, "alias database unavailable", to="root@example.test")), SERVER, DIRECT)
    assert verdict.status is Status.CRITICAL
    assert verdict.explained_by is not None
    assert verdict.explained_by[0] == "services.lookup-tables"


def test_messages_without_a_reason_ask_every_root() -> None:
    (verdict,) = why(queue_of(entry(1, "")), SERVER, DIRECT)
    assert verdict.subject == "none"
    assert verdict.explained_by is not None
    assert "services.main-cf" in verdict.explained_by


def test_time_left_until_mail_is_returned_is_told() -> None:
    (verdict,) = judge(age, queue_of(entry(1, GREY, old=4 * 86400 + 3600)), Settings())
    assert verdict.status is Status.NOTICE
    assert "will be returned to its sender in 23 hours" in verdict.title
    assert judge(age, queue_of(entry(1, GREY, old=60)), Settings())[0].status is Status.OK


def held(*, number: int = 1, old: int = 600, mail: str = "") -> Status:
    queue = queue_of(*(entry(each, "", queue="hold", old=old) for each in range(number)))
    return judge(hold, queue, Settings(), log(mail or line(50, STARTED), "", NOW))[0].status


def test_a_few_messages_that_somebody_holds_today_are_no_fault() -> None:
    by_hand = "postfix/postsuper[457]: ABC00000: placed on hold"
    assert held(number=3, mail=line(50, STARTED) + line(9, by_hand)) is Status.NOTICE


def test_messages_that_are_on_hold_since_yesterday_were_forgotten() -> None:
    assert held(old=86401) is Status.WARNING


def test_many_held_messages_are_a_warning() -> None:
    assert held(number=11) is Status.WARNING


@pytest.mark.parametrize("rule", HOLD_RULES)
def test_a_rule_that_holds_mail_is_a_warning_until_postfix_has_read_its_files_again(rule: str) -> None:
    assert held(mail=line(50, STARTED) + line(9, rule)) is Status.WARNING
    assert held(mail=line(9, rule) + line(8, STARTED)) is Status.NOTICE


def test_held_mail_is_named_and_released_by_its_ids() -> None:
    (verdict,) = judge(hold, queue_of(entry(1, "", queue="hold", old=90000)), Settings(), None)
    assert verdict.status is Status.WARNING
    assert verdict.fixes[0].commands == (("postsuper", "-H", "ABC00001"),)
    assert not verdict.fixes[0].automatic
    assert judge(hold, queue_of(), Settings(), None)[0].status is Status.OK


def dropped(*seconds: int) -> Maildrop:
    files = [info(f"/var/spool/postfix/maildrop/A{n}", 0o744, modified=NOW - timedelta(seconds=n)) for n in seconds]
    return Maildrop("/var/spool/postfix/maildrop", tuple(files), (), NOW)


def test_mail_that_nobody_takes_from_maildrop_is_critical() -> None:
    (verdict,) = judge(maildrop, dropped(3600), services("debian12-stopped"))
    assert verdict.status is Status.CRITICAL
    assert "Postfix is not running" in verdict.title
    assert judge(maildrop, dropped(2), services("debian12-healthy", master()))[0].status is Status.OK


def test_one_wrong_address_is_everyday() -> None:
    mail = line(9, SENT) + line(5, status_line("bounced", 'unknown user: "nobody"', dsn="5.1.1"))
    (verdict,) = judge(lost, log(mail, "", NOW), SERVER, None, None)
    assert verdict.status is Status.NOTICE


def test_mail_that_the_relay_returns_because_of_us_is_critical() -> None:
    denied = "host 10.0.1.10[10.0.1.10] said: 554 5.7.1 <a@b.test>: Relay access denied (in reply to RCPT TO command)"
    (verdict,) = judge(lost, log(line(5, status_line("bounced", denied, dsn="5.7.1")), "", NOW), CLIENT, None, None)
    assert verdict.status is Status.CRITICAL
    assert verdict.subject == "relay.denied"
    assert verdict.evidence[0].text.endswith("(in reply to RCPT TO command))")


def test_nothing_returned_is_fine() -> None:
    assert judge(lost, log(line(5, SENT), "", NOW), SERVER, None, None)[0].status is Status.OK


def test_one_login_that_sends_far_more_than_all_others_is_suspected() -> None:
    spam = "".join(
        line(20, f"postfix/submission/smtpd[9]: {n:08X}: client=x[203.0.113.7], sasl_method=LOGIN, sasl_username=bob")
        for n in range(600)
    )
    fails = "".join(
        line(10, status_line("deferred", "connect to mx[192.0.2.1]:25: Connection timed out")) for _ in range(200)
    )
    (verdict,) = judge(sender, None, log(spam + fails, "", NOW), Settings())
    assert verdict.status is Status.WARNING
    assert verdict.subject == "bob"


def test_a_queue_full_of_one_sender_names_it() -> None:
    found = queue_of(*(entry(n, REFUSED, sender="bob@example.test") for n in range(120)))
    (verdict,) = judge(sender, found, None, Settings())
    assert verdict.subject == "bob@example.test"


def test_several_senders_are_fine() -> None:
    assert judge(sender, queue_of(entry(1, REFUSED)), None, Settings())[0].status is Status.OK


def spool(*wrong: tuple[str, FileInfo | Gap]) -> Spool:
    changed = dict(wrong)
    paths = []
    for each in expected(Postfix(installed=True)):
        mode = 0o2755 if each.kind is FileKind.FILE else each.mode
        there = info(each.path, mode, each.owner, each.group or "root", each.kind)
        paths.append(SpoolPath(each, changed.get(each.path, there)))
    return Spool(tuple(paths), (), "postfix", True)


def told(found: Spool) -> list[Verdict]:
    return judge(directories, found, None, services("debian12-healthy", master()), None)


ACTIVE = "/var/spool/postfix/active"


def test_the_spool_of_a_fresh_installation_is_fine() -> None:
    assert [each.status for each in told(spool())] == [Status.OK]


def test_debian_12_s_own_modes_are_fine() -> None:
    maildrop_there = info("/var/spool/postfix/maildrop", 0o1730, "postfix", "postdrop", FileKind.DIRECTORY)
    public = info("/var/spool/postfix/public", 0o2710, "postfix", "postdrop", FileKind.DIRECTORY)
    postdrop = info("/usr/sbin/postdrop", 0o2555, "root", "postdrop")
    found = spool((maildrop_there.path, maildrop_there), (public.path, public), (postdrop.path, postdrop))
    assert [each.status for each in told(found)] == [Status.OK]


def test_a_directory_of_another_owner_is_given_back() -> None:
    (verdict,) = told(spool((ACTIVE, info(ACTIVE, 0o700, "root", "root", FileKind.DIRECTORY))))
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].commands == (("chown", "postfix", ACTIVE), ("chmod", "700", ACTIVE))
    assert verdict.fixes[0].undo == (("chown", "root:root", ACTIVE), ("chmod", "700", ACTIVE))


def test_a_directory_that_is_gone_is_made_again() -> None:
    (verdict,) = told(spool((ACTIVE, Gap(GapReason.ABSENT, "no such file"))))
    assert "does not exist" in verdict.title
    assert verdict.fixes[0].commands[0] == ("install", "-d", "-o", "postfix", "-m", "700", ACTIVE)


def moved(*lines: str, usual: bool = True) -> Verdict:
    root, gone = "/srv/mail/queue", Gap(GapReason.ABSENT, "no such file")
    settings = {"queue_directory": root} if lines else {}
    paths = tuple(
        SpoolPath(each, gone)
        for each in expected(Postfix(True, settings=settings))
        if "/spool" in each.path or root in each.path
    )
    there = info("/var/spool/postfix/deferred", 0o700, "postfix", "root", FileKind.DIRECTORY) if usual else None
    found = Spool(paths, (), "postfix", False, usual=there)
    (verdict,) = judge(directories, found, None, services("debian12-stopped"), config(*lines))
    return verdict


def test_a_queue_that_was_moved_to_nowhere_is_moved_back_where_it_is() -> None:
    verdict = moved("queue_directory = /srv/mail/queue")
    assert verdict.subject == "/srv/mail/queue"
    assert verdict.fixes[0].commands[0] == ("postconf", "-X", "queue_directory")
    assert [each.automatic for each in verdict.fixes] == [True, False]


def test_an_empty_queue_is_not_made_unasked_where_a_disk_may_not_be_mounted() -> None:
    verdict = moved("queue_directory = /srv/mail/queue", usual=False)
    assert "not mounted" in verdict.detail
    assert [each.automatic for each in verdict.fixes] == [False]


def test_a_queue_that_was_deleted_in_the_usual_place_is_made_again() -> None:
    verdict = moved(usual=False)
    assert verdict.title == "/var/spool/postfix does not exist: Postfix has no queue"
    assert verdict.fixes[0].automatic


def test_postdrop_without_its_group_stops_everybody_but_root() -> None:
    (verdict,) = told(spool(("/usr/sbin/postdrop", info("/usr/sbin/postdrop", 0o755, "root", "postdrop"))))
    assert verdict.fixes[0].commands[-1] == ("chmod", "2755", "/usr/sbin/postdrop")


def test_a_spool_that_was_changed_as_a_whole_is_one_finding() -> None:
    found = spool()
    changed = [
        (each.wanted.path, info(each.wanted.path, each.wanted.mode, "root", "root", FileKind.DIRECTORY))
        for each in found.paths
        if each.wanted.owner == "postfix"
    ]
    (verdict,) = told(spool(*changed))
    assert verdict.subject == "/var/spool/postfix"
    assert ("chown", "postfix", ACTIVE) in verdict.fixes[0].commands


def test_what_may_not_be_seen_is_unknown_and_not_wrong() -> None:
    verdicts = told(spool((ACTIVE, Gap(GapReason.DENIED, "permission denied"))))
    assert {each.status for each in verdicts} == {Status.UNKNOWN, Status.OK}


def test_queue_files_of_another_account_are_given_back() -> None:
    foreign = info(f"{ACTIVE}/ABC", 0o700, "root", "root")
    base = spool()
    (verdict,) = told(Spool(base.paths, (foreign,), "postfix", True, (ACTIVE,)))
    assert verdict.subject == "files"
    assert verdict.fixes[0].commands == (("chown", "-R", "postfix", ACTIVE),)


def test_a_group_of_the_setting_that_nothing_has_is_the_settings_fault() -> None:
    names = ("/usr/sbin/postdrop", "/usr/sbin/postqueue")
    found = tuple(
        SpoolPath(Wanted(path, FileKind.FILE, "root", "mail", 0o2755), info(path, mode=0o2755, group="postdrop"))
        for path in names
    )
    (verdict,) = judge(directories, Spool(found, (), "postfix", True), None, None, config("setgid_group = mail"))
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "setgid_group")
    assert verdict.fixes[0].commands[0] == ("postconf", "-X", "setgid_group")


def returned(to: str, reason: str) -> str:
    return (
        f"postfix/local[238]: 117554C: to=<{to}, relay=local, delay=0.02, delays=0.01/0.01/0/0.01, dsn=5.1.1, "
        f"status=bounced ({reason})"
    )


def test_a_copy_for_nobody_is_blamed_on_the_setting_that_makes_it() -> None:
    unknown = returned("archive@example.test>", 'unknown user: "archive"')
    lines = ("always_bcc = archive@example.test", "mydomain = example.test")
    (verdict,) = judge(lost, log(line(5, unknown), "", NOW), SERVER, config(*lines), None)
    assert verdict.status is Status.WARNING
    assert "main.cf line" in verdict.title
    (everyday,) = judge(lost, log(line(5, unknown), "", NOW), SERVER, config("mydomain = example.test"), None)
    assert everyday.status is Status.NOTICE


def test_an_alias_that_leads_to_nobody_is_named_with_its_line_and_another_is_not() -> None:
    text = "postmaster: root\nroot: alcie\n"
    use = TableUse("hash", "/etc/aliases", "alias_maps")
    tables = Tables((Table(use=use, users=("alias_maps",), source=info("/etc/aliases"), text=file(text)),))
    said = returned("alcie@example.test>, orig_to=<root@example.test>", 'unknown user: "alcie"')
    (verdict,) = judge(lost, log(line(5, said), "", NOW), SERVER, config("mydomain = example.test"), tables)
    assert "/etc/aliases line 2" in verdict.title
    other = returned("alcie@example.test>", 'unknown user: "alcie"')
    (verdict,) = judge(lost, log(line(5, other), "", NOW), SERVER, config("mydomain = example.test"), tables)
    assert "aliases" not in verdict.title


def test_mail_that_waits_for_a_host_of_a_table_names_the_line() -> None:
    use = TableUse("hash", "/etc/postfix/transport", "transport_maps")
    text = file("# moved\nexample.test smtp:[10.0.1.99]\n")
    tables = Tables((Table(use=use, users=("transport_maps",), source=info("/etc/postfix/transport"), text=text),))
    waiting = queue_of(entry(1, "connect to 10.0.1.99[10.0.1.99]:25: No route to host", to="alice@example.test"))
    settings = config("mydestination = example.test")
    (verdict,) = judge(deferred, waiting, SERVER, None, DIRECT, settings, tables)
    assert verdict.status is Status.CRITICAL
    assert "/etc/postfix/transport line 2" in verdict.title


def test_a_lock_file_of_root_is_given_back() -> None:
    lock = info("/var/lib/postfix/master.lock", owner="root", mode=0o600)
    (verdict,) = judge(directories, Spool((), (), "postfix", True, caches=(lock,)), None, None, None)
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "data_directory")
    assert verdict.fixes[0].commands == (("chown", "postfix", lock.path),)
    assert verdict.fixes[0].undo == (("chown", "root:root", lock.path),)


def thrown_away(second: int) -> str:
    return line(
        second,
        "postfix/cleanup[238]: 6EDD84D: discard: body hello from app01.example.test[10.0.1.20]; from=<alice@example.test> "
        "to=<alice@example.test> proto=ESMTP helo=<app01.example.test>: newsletter",
    )


def test_mail_that_a_rule_throws_away_is_told_and_the_line_is_named() -> None:
    use = TableUse("regexp", "/etc/postfix/body_checks", "body_checks")
    text = file("/message|hello/ DISCARD newsletter\n")
    tables = Tables((Table(use=use, users=("body_checks",), source=info(use.path), text=text),))
    seen = log("\n".join(map(thrown_away, (5, 6, 7))), "", NOW)
    own, others = config("mynetworks = 10.0.1.0/24"), config("mynetworks = 127.0.0.0/8")
    verdict, _ = judge(lost, seen, SERVER, own, tables)
    assert (verdict.status, verdict.subject) == (Status.WARNING, "discarded")
    assert verdict.title == "3 messages were thrown away without a word by /etc/postfix/body_checks line 1"
    verdict, _ = judge(lost, seen, SERVER, others, None)
    assert (verdict.status, verdict.title) == (
        Status.NOTICE, "3 messages were thrown away without a word by body_checks",
    )  # fmt: skip


def test_one_message_thrown_away_is_a_rule_at_work() -> None:
    verdict, _ = judge(lost, log(thrown_away(5), "", NOW), SERVER, config("mynetworks = 10.0.1.0/24"), None)
    assert verdict.status is Status.NOTICE


@pytest.mark.parametrize(("value", "named"), [("1s", True), ("2", True), ("30s", False)])
def test_a_time_that_is_set_too_short_is_named_where_servers_do_not_answer_in_it(value: str, named: bool) -> None:
    # Recorded on Debian 12 with smtp_helo_timeout = 1s against a server that greets after five seconds.
    reason = "conversation with 10.0.1.10[10.0.1.10] timed out while receiving the initial server greeting"
    made = config(f"smtp_helo_timeout = {value}")
    mail = log(line(2, status_line("deferred", reason, dsn="4.4.2")), "", NOW)
    (verdict,) = judge(deferred, queue_of(entry(1, reason)), CLIENT, mail, Postfix(True, "3.7", {}), made, None)
    assert ("smtp_helo_timeout" in verdict.title) is named
    assert (("postconf", "-X", "smtp_helo_timeout") in verdict.fixes[0].commands if verdict.fixes else False) is named


def test_a_table_that_makes_other_addresses_of_the_own_is_named_with_its_line() -> None:
    path = "/etc/postfix/canon"
    # Recorded on Debian 12.
    bounced = (
        "postfix/smtp[283]: D653687: to=<alice@exmaple.test>, orig_to=<alice@example.test>, relay=none, delay=0.05, "
        "delays=0.01/0.04/0/0, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for "
        "name=exmaple.test type=A: Host not found)"
    )
    table = Table(
        use=TableUse("regexp", path, "recipient_canonical_maps"),
        users=("recipient_canonical_maps",),
        source=info(path),
        text=file("# to the new domain\n/^(.*)@.*$/ ${1}@exmaple.test\n"),
    )
    made = config("mydestination = example.test", f"recipient_canonical_maps = regexp:{path}")
    (verdict,) = judge(lost, log(line(2, bounced), "", NOW), SERVER, made, Tables((table,)))
    assert verdict.status is Status.WARNING
    assert f"{path} line 2" in verdict.title


@pytest.mark.parametrize(
    ("links", "status"),
    [
        (("/usr/sbin/sendmail",), Status.OK),
        (("/usr/sbin/sendmail", "/etc/alternatives/mta", "/usr/sbin/sendmail.postfix"), Status.OK),
        (("/usr/sbin/sendmail", "/usr/bin/msmtp"), Status.WARNING),
        (("/usr/sbin/sendmail", "/bin/true"), Status.WARNING),
    ],
)
def test_a_sendmail_that_is_another_program_bypasses_postfix(links: tuple[str, ...], status: Status) -> None:
    found = [each for each in told(replace(spool(), sendmail=links)) if each.subject in ("", "/usr/sbin/sendmail")]
    assert max(each.status.weight for each in found) == status.weight


def test_a_sender_domain_that_this_host_appends_is_named_with_its_line() -> None:
    # Recorded on Debian 13.
    reason = (
        "host 10.0.1.10[10.0.1.10] said: 450 4.1.8 <root@exmaple.test>: Sender address rejected: Domain not found "
        "(in reply to RCPT TO command)"
    )
    mail = log(line(2, status_line("deferred", reason, dsn="4.1.8")), "", NOW)
    made = config("myorigin = exmaple.test")
    (verdict,) = judge(deferred, queue_of(entry(1, reason)), CLIENT, mail, Postfix(True, "3.7", {}), made, None)
    assert "myorigin = exmaple.test" in verdict.title
    other = config("myorigin = example.test")
    (verdict,) = judge(deferred, queue_of(entry(1, reason)), CLIENT, mail, Postfix(True, "3.7", {}), other, None)
    assert "myorigin" not in verdict.title
