"""The screen on a real host, through a real terminal: a fix applied, watched, seen verified, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.hosts import Host, command_on
from tests.lab.lab import Lab
from tests.lab.process import wait_for
from tests.tui.terminals import Tmux

pytestmark = pytest.mark.lab

MAIN_CF = "/etc/postfix/main.cf"
_BREAK = "sed -i 's/^inet_interfaces = all/inet_interfaces = all # everywhere/' /etc/postfix/main.cf; systemctl restart postfix || true"
Screen = Callable[..., Tmux]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """Opens `maildiag` on a host, in a terminal of 80 x 24."""
    opened: list[Tmux] = []

    def on(host: Host, *options: str) -> Tmux:
        argv = command_on(host.leader, ["maildiag", *options], terminal="tmux-256color")
        opened.append(Tmux(tmp_path, argv))
        return opened[-1]

    yield on
    for each in opened:
        each.close()


def test_a_fix_is_applied_watched_seen_verified_undone_and_left(breakable_lab: Lab, screen: Screen) -> None:
    mail = breakable_lab.mail
    mail.sh(_BREAK)
    broken = mail.sh(f"sha256sum {MAIN_CF}; stat -c '%a %U %G' {MAIN_CF}")
    tmux = screen(mail)
    tmux.wait("CRIT main.cf line", 60)
    tmux.wait_while("running")
    assert "Mail or logins fail" in tmux.screen()
    tmux.keys("Enter")
    tmux.wait("FIX A")
    tmux.wait("# postconf -e inet_interfaces=all")
    tmux.keys("a")
    tmux.wait("read-only: U unlocks")
    tmux.keys("U")
    tmux.wait(" FIX")
    tmux.keys("a")
    tmux.wait("type y and enter")
    tmux.keys("n", "Enter")
    tmux.wait("nothing was changed")
    tmux.keys("a")
    tmux.wait("type y and enter")
    tmux.keys("y", "Enter")
    tmux.wait("verifying", 60)
    tmux.wait("cured", 60)
    assert "inet_interfaces = all\n" in mail.read(MAIN_CF)
    breakable_lab.deliver(breakable_lab.app01, "alice@example.test")
    tmux.keys("u")
    tmux.wait("is undone", 60)
    assert mail.sh(f"sha256sum {MAIN_CF}; stat -c '%a %U %G' {MAIN_CF}") == broken
    tmux.keys("q")
    tmux.wait("FIX A")
    tmux.keys("q")
    tmux.wait("WORKFLOW")
    tmux.wait_while("running")
    assert "CRIT main.cf line" in tmux.screen()
    tmux.keys("q")
    assert tmux.status() == "2"


def test_the_headers_of_a_queued_message_are_shown_and_its_body_is_not(breakable_lab: Lab, screen: Screen) -> None:
    mail = breakable_lab.mail
    breakable_lab.partner.tempfail()
    mail.sh("printf 'Subject: waiting\\n\\nthe secret body\\n' | sendmail -f alice@example.test joe@partner.test")
    wait_for("the message to be deferred", lambda: "deferred" in mail.sh("postqueue -j"), timeout=30)
    tmux = screen(mail)
    tmux.wait("WORKFLOW", 30)
    tmux.keys("Q")
    tmux.wait("joe@partner.test", 30)
    tmux.keys("o")
    shown = tmux.wait("Subject: waiting")
    assert "sender: alice@example.test" in shown
    assert "secret" not in shown
    tmux.keys("q")
    tmux.wait("Queue by reason")
    tmux.keys("a")
    tmux.wait("read-only: U unlocks")
    tmux.keys("U", "a")
    tmux.wait("type hold")
    tmux.keys("hold", "Enter")
    tmux.wait("type yes")
    tmux.keys("yes", "Enter")
    wait_for("the message to be on hold", lambda: "hold" in mail.sh("postqueue -j"), timeout=30)
    tmux.wait("hold 1", 30)
    tmux.keys("C-q")
    tmux.status()


def test_verbose_logging_and_the_emergency_procedure_are_led_through_on_the_screen(
    breakable_lab: Lab, screen: Screen
) -> None:
    mail = breakable_lab.mail
    before = mail.sh(f"sha256sum {MAIN_CF}")
    tmux = screen(mail)
    tmux.wait("Mail works", 120)
    tmux.wait_while("running")
    tmux.keys("U", "R")
    tmux.wait("Emergency procedure")
    tmux.keys("Enter")
    tmux.wait("whom: an address")
    tmux.keys(f"{breakable_lab.app01.address} 5m", "Enter")
    tmux.wait("type y and enter", 30)
    tmux.keys("y", "Enter")
    tmux.wait("off by itself in", 60)
    assert mail.sh("postconf -h debug_peer_list").strip() == breakable_lab.app01.address
    tmux.keys("u")
    tmux.wait("is undone", 60)
    assert mail.sh(f"sha256sum {MAIN_CF}") == before
    mail.sh(_BREAK)
    name = mail.sh("hostname").strip()
    tmux.keys("q")
    tmux.wait("CHANGED ON THIS HOST")
    tmux.keys("Down", "Enter")
    tmux.wait("a: begin by saving")
    tmux.keys("a")
    tmux.wait("next: Stop Dovecot and Postfix", 60)
    for stage in ("Comment out what Postfix refuses", "Start Postfix for loopback only", "Start Dovecot", "Serve"):
        tmux.keys("a")
        tmux.wait(f"type {name}")
        tmux.keys(name, "Enter")
        tmux.wait(f"next: {stage}", 120)
    assert mail.sh("postconf -h inet_interfaces").strip() == "loopback-only"
    tmux.keys("C-q")
    tmux.keys("a")
    tmux.wait(f"type {name}")
    tmux.keys(name, "Enter")
    tmux.wait("the procedure is over", 120)
    breakable_lab.deliver(breakable_lab.app01, "alice@example.test")
    breakable_lab.login("alice")
    tmux.keys("C-q", "C-q")
    tmux.status()
