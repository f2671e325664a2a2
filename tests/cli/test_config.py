"""Configuration files: what they set, where each value comes from, and mistakes named to the line."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

import pytest

from maildiag.cli import options
from maildiag.config import ConfigError, load
from maildiag.model import Role
from maildiag.settings import Acknowledgement, RemoteHost
from tests.support import maildiag

WHOLE = """\
# everything
role = "relay-client"
timeout = 30
services = ["postfix"]
ports = [25, 587]
log_files = ["/srv/log/mail"]
probe_mailbox = "probe@example.test"
test_users = ["alice"]
client_networks = ["10.0.1.0/24", "2001:db8::/32"]

[thresholds]
queue_messages = 250
certificate_days = 21

[[hosts]]
name = "app01"
ssh = "root@app01.example.test"
role = "relay-client"

[[acknowledgements]]
id = "dns.ptr"
reason = "the provider is asked"
expires = 2026-12-31

[[acknowledgements]]
id = "queue.backlog"
subject = "hold"
reason = "held for legal"
expires = 2027-01-31
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_every_setting_is_read(tmp_path: Path) -> None:
    loaded = load(write(tmp_path / "c.toml", WHOLE))
    settings = loaded.settings
    assert settings.role is Role.RELAY_CLIENT
    assert settings.thresholds.queue_messages == 250
    assert settings.thresholds.disk_free_percent == 5.0
    assert settings.ports == (25, 587)
    assert settings.hosts == (RemoteHost("app01", "root@app01.example.test", Role.RELAY_CLIENT),)
    assert settings.acknowledgements[1] == Acknowledgement("queue.backlog", "held for legal", date(2027, 1, 31), "hold")
    assert loaded.origins["thresholds.queue_messages"].endswith("c.toml:12")
    assert loaded.origins["thresholds.disk_free_percent"] == "default"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("timeout = 30\nquue = 1\n", 2, "there is no setting 'quue'"),
        ("[thresholds]\n\nqueue_mesages = 1\n", 3, "did you mean queue_messages?"),
        ("[treshold]\nqueue_messages = 1\n", 1, "did you mean thresholds?"),
        ("role = 'mailserver'\n", 1, "did you mean mail-server?"),
        ("timeout = 'soon'\n", 1, "must be a number"),
        ("timeout = -1\n", 1, "out of range"),
        ("ports = [25, 'smtp']\n", 1, "must be a whole number"),
        ("ports = [99999]\n", 1, "no port number"),
        ("ports = 25\n", 1, "must be a list"),
        ("services = 'postfix'\n", 1, "must be a list"),
        ("client_networks = ['10.0.1.10/24']\n", 1, "host bits set"),
        ("thresholds = 3\n", 1, "is a table"),
        ("[thresholds]\nqueue_messages = true\n", 2, "must be a whole number"),
        ("timeout = 1\ntimeout = 2\n", 2, "Cannot overwrite a value"),
        ("timeout = \n", 1, "Invalid value"),
        ("[[acknowledgements]]\nid = 'a.b'\nreason = 'r'\n", 1, "needs expires"),
        (WHOLE + "\n[[acknowledgements]]\nid = 'a.b'\nreson = 'r'\n", WHOLE.count("\n") + 4, "did you mean reason?"),
        (
            "[[acknowledgements]]\nid = 'dns.ptr'\nreason = 'r'\nexpires = 2999-12-31\n"
            "[[acknowledgements]]\nreason = 'r'\nid = 'dns.pttr'\nexpires = 2999-12-31\n",
            7,
            "no finding is called 'dns.pttr', did you mean dns.ptr?",
        ),
        ("[[acknowledgements]]\nid = 'service.postfix'\nreason = 'r'\nexpires = 2999-12-31\n", 2, "services.postfix?"),
        ("[[acknowledgements]]\nid = 'postfix'\nreason = 'r'\nexpires = 2999-12-31\n", 2, "no finding is called"),
        ("[thresholds]\ndelivery_drop_percent = 180\n", 2, "out of range"),
        ("[[acknowledgements]]\nid = 'a'\nreason = 'r'\nexpires = 'tomorrow'\n", 4, "a date like"),
    ],
)
def test_a_mistake_names_file_line_key_and_the_nearest_key(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = write(tmp_path / "c.toml", text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert words in str(caught.value)


def test_a_mistake_ends_a_run_with_exit_64(tmp_path: Path) -> None:
    ran = maildiag("run", "--config", write(tmp_path / "c.toml", "quue = 1\n"))
    assert ran.status == 64
    assert "c.toml:1: there is no setting 'quue'" in ran.err


def test_the_user_s_file_is_read_and_the_named_one_wins(tmp_path: Path) -> None:
    (tmp_path / "maildiag").mkdir()
    write(tmp_path / "maildiag" / "config.toml", "timeout = 10\nprobe_mailbox = 'a@example.test'\n")
    named = write(tmp_path / "named.toml", "timeout = 20\n")
    ran = maildiag("config", "--json", "--config", named, XDG_CONFIG_HOME=str(tmp_path))
    told = json.loads(ran.out)
    assert told["timeout"] == {"value": 20.0, "from": f"{named}:1"}
    assert told["probe_mailbox"]["from"].endswith("maildiag/config.toml:2")
    assert told["ports"] == {"value": [], "from": "default"}


def test_the_settings_are_shown_as_text(tmp_path: Path) -> None:
    ran = maildiag("config", "--config", write(tmp_path / "c.toml", WHOLE))
    assert ran.status == 0
    assert f"thresholds.queue_messages = 250   # {tmp_path}/c.toml:12" in ran.out


def test_an_acknowledgement_that_does_nothing_is_told(tmp_path: Path) -> None:
    entry = '[[acknowledgements]]\nid = "{}"\nreason = "a test"\nexpires = {}\n'
    text = (
        entry.format("dns.of-a-plug-in", "2999-12-31")
        + entry.format("dns.ptr", "2020-02-29")
        + entry.format("dns.mx", "2999-12-31")
    )
    ran = maildiag("config", "--config", write(tmp_path / "c.toml", text))
    notes = [line for line in ran.out.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: no check here is called 'dns.of-a-plug-in', which is acknowledged; a plug-in that is not installed may have it",
        "note: the acknowledgement of dns.ptr has expired on 2020-02-29",
    ]


def test_a_host_of_the_configuration_brings_its_own_role(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('role = "mail-server"\n[[hosts]]\nname = "app01"\nrole = "relay-client"\n[[hosts]]\nname = "mx2"\n')

    def role(host: str, forced: Role | None = None) -> Role | None:
        return options.settings(argparse.Namespace(config=path, host=host, role=forced, timeout=None)).role

    assert role("") is Role.MAIL_SERVER
    assert role("app01") is Role.RELAY_CLIENT
    assert role("app01", Role.MAIL_SERVER) is Role.MAIL_SERVER
    assert role("mx2") is None
