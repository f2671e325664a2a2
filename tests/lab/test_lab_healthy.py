"""The hosts of the guide are really healthy: mail flows on every path, users log in, and no log holds a complaint."""

from __future__ import annotations

import re

import pytest

from tests.lab.errors import LabError
from tests.lab.instance import endable, running
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

_COMPLAINT = re.compile(r"\b(warning|error|fatal|panic|failed)\b", re.IGNORECASE)
# dbus-daemon without CAP_SYS_RESOURCE says this in every container; it has nothing to do with mail.
_KNOWN = "Failed to set fd limit"


@pytest.mark.parametrize("over", ["imap", "pop3"])
def test_mail_of_an_application_server_reaches_the_mailbox(lab: Lab, over: str) -> None:
    assert lab.deliver(lab.app01, "alice@example.test", over=over) < 10


def test_local_mail_reaches_the_mailbox(lab: Lab) -> None:
    assert lab.deliver(lab.mail, "bob@example.test") < 10


def test_mail_to_root_reaches_a_person(lab: Lab) -> None:
    lab.mail.run(["sendmail", "root"], input="Subject: lab-to-root\n\nhello\n")
    lab.await_arrival("lab-to-root", "alice@example.test")


@pytest.mark.parametrize("host", ["mail", "app01", "app02"])
def test_mail_reaches_the_partner(lab: Lab, host: str) -> None:
    assert lab.deliver(lab.hosts[host], "joe@partner.test") < 10


def test_the_test_mail_of_the_guide_reaches_the_mailbox(lab: Lab) -> None:
    lab.app01.run(["s-nail", "-s", "lab-s-nail", "alice@example.test"], input="hello\n")
    lab.await_arrival("lab-s-nail", "alice@example.test")


@pytest.mark.parametrize("to", ["alice@example.test", "joe@partner.test"])
def test_users_submit_mail_with_a_password(lab: Lab, to: str) -> None:
    assert lab.submit("bob", to) < 10


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.parametrize("security", ["plain", "starttls", "tls"])
@pytest.mark.parametrize("user", ["alice", "bob"])
def test_users_log_in(lab: Lab, user: str, protocol: str, security: str) -> None:
    lab.login(user, protocol=protocol, security=security)


@pytest.mark.parametrize("host", ["mail", "app01", "app02"])
def test_no_log_holds_a_complaint(lab: Lab, host: str) -> None:
    lab.hosts[host].reset()
    lab.deliver(lab.hosts[host], "alice@example.test")
    lab.deliver(lab.hosts[host], "joe@partner.test")
    mail_log = lab.hosts[host].read("/var/log/mail.log").splitlines()
    journal = lab.hosts[host].run(["journalctl", "--quiet", "--no-pager", "-p", "warning"]).stdout.splitlines()
    assert [line for line in mail_log if _COMPLAINT.search(line)] == []
    assert [line for line in journal if _KNOWN not in line] == []


@pytest.mark.parametrize("host", ["mail", "app01", "app02"])
def test_systemd_runs_every_unit(lab: Lab, host: str) -> None:
    assert lab.hosts[host].run(["systemctl", "is-system-running"]).stdout.strip() == "running"


def test_the_journal_knows_postfix_by_its_unit(lab: Lab) -> None:
    unit = "postfix@-" if lab.release.name == "debian12" else "postfix"
    assert "daemon started" in lab.mail.run(["journalctl", "-u", unit]).stdout


def test_firewalld_lets_the_mail_services_in_and_nothing_else(lab: Lab) -> None:
    assert lab.mail.run(["firewall-cmd", "--state"]).stdout.strip() == "running"
    services = lab.mail.run(["firewall-cmd", "--list-services"]).stdout.split()
    assert sorted(services) == ["dhcpv6-client", "imap", "imaps", "pop3", "pop3s", "smtp", "smtp-submission", "ssh"]
    assert lab.mail.run(["firewall-cmd", "--permanent", "--list-services"]).stdout.split() == services
    lab.mail.sh("systemd-run --quiet --unit lab-closed nc -lk 10.0.1.10 4444")
    assert lab.app01.run(["nc", "-zw1", "10.0.1.10", "4444"], check=False).returncode != 0
    lab.mail.sh("systemctl stop lab-closed")


def test_ufw_is_active_where_the_guide_has_it(lab: Lab) -> None:
    assert "Status: active" in lab.app02.run(["ufw", "status"]).stdout
    assert "inactive" in lab.app01.run(["ufw", "status"]).stdout


def test_names_are_fully_qualified_and_agree_with_dns(lab: Lab) -> None:
    for host in lab.hosts.values():
        name = f"{host.name}.example.test"
        assert host.run(["hostname", "-f"]).stdout.strip() == name
        assert host.address in host.run(["host", name]).stdout
        assert name in host.run(["host", host.address]).stdout


def test_one_host_logs_in_to_another_over_ssh(lab: Lab) -> None:
    assert lab.app01.run(["ssh", "mail.example.test", "hostname"]).stdout.strip() == "mail"


def test_a_command_runs_as_the_user_that_is_asked_for(lab: Lab) -> None:
    assert lab.mail.run(["id", "-un"], user="alice").stdout.strip() == "alice"


def test_a_command_without_end_is_ended_at_its_limit(lab: Lab) -> None:
    with pytest.raises(LabError, match="no end after"):
        lab.mail.run(["sleep", "60"], timeout=0.5)


def test_a_reset_undoes_everything(breakable_lab: Lab) -> None:
    lab = breakable_lab
    lab.mail.sh("rm -rf /etc/postfix /home/alice; nft add table inet lab")
    lab.mail.reset()
    assert "table inet lab\n" not in lab.mail.run(["nft", "list", "tables"]).stdout
    assert lab.deliver(lab.app01, "alice@example.test") < 10


def test_a_reboot_keeps_the_disk_and_forgets_what_was_not_made_permanent(breakable_lab: Lab) -> None:
    mail = breakable_lab.mail
    mail.sh("echo here > /root/kept; firewall-cmd --add-port 4444/tcp")
    assert mail.reboot() == "running"
    assert mail.read("/root/kept") == "here\n"
    assert mail.run(["firewall-cmd", "--list-ports"]).stdout.strip() == ""
    assert breakable_lab.deliver(breakable_lab.app01, "alice@example.test") < 10


def test_ending_labs_by_hand_spares_those_of_running_programs(lab: Lab) -> None:
    assert lab.instance.id in running()
    assert lab.instance.id not in endable()


def test_maildiag_is_installed(lab: Lab) -> None:
    for host in lab.hosts.values():
        assert "maildiag" in host.run(["/opt/maildiag/bin/pip", "list"]).stdout


@pytest.mark.parametrize("how", ["servfail", "refused", "nxdomain", "timeout"])
def test_dns_fails_as_it_is_told(lab_in_bad_company: Lab, how: str) -> None:
    lab_in_bad_company.dns.fail(how, "partner.test")
    answer = lab_in_bad_company.mail.run(["dig", "+time=1", "+tries=1", "partner.test", "MX"], check=False).stdout
    assert ("timed out" if how == "timeout" else how.upper()) in answer
    assert "mail.example.test" in lab_in_bad_company.mail.run(["host", "10.0.1.10"]).stdout


def test_a_dns_record_can_go_alone(lab_in_bad_company: Lab) -> None:
    lab_in_bad_company.dns.remove("PTR", "10.1.0.10.in-addr.arpa")
    assert "NXDOMAIN" in lab_in_bad_company.mail.run(["host", "10.0.1.10"], check=False).stdout
    assert "10.0.1.10" in lab_in_bad_company.mail.run(["host", "mail.example.test"]).stdout


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [("reject", "500"), ("tempfail", "450"), ("refuse", "421|lost connection"), ("hang", None), ("stop", "refused")],
)
def test_the_partner_misbehaves_as_it_is_told(lab_in_bad_company: Lab, behaviour: str, said: str | None) -> None:
    getattr(lab_in_bad_company.partner, behaviour)()
    swaks = [
        "swaks",
        "--server",
        "10.0.1.30",
        "--to",
        "joe@partner.test",
        "--from",
        "alice@example.test",
        "--timeout",
        "2",
    ]
    done = lab_in_bad_company.mail.run(swaks, check=False)
    assert done.returncode != 0
    assert said is None or re.search(said, done.stdout + done.stderr)
