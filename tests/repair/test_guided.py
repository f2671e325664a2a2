"""The guided repairs: durations, peers, logical lines of main.cf, the backup archive."""

from __future__ import annotations

import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from maildiag.repair import backup
from maildiag.repair.debug_peer import PEER, duration
from maildiag.repair.emergency import Setting, settings


@pytest.mark.parametrize(
    ("text", "meant"),
    [("90s", timedelta(seconds=90)), ("10m", timedelta(minutes=10)), ("2h", timedelta(hours=2))],
)
def test_durations_are_read(text: str, meant: timedelta) -> None:
    assert duration(text) == meant


@pytest.mark.parametrize("text", ["", "10", "0s", "25h", "-1m", "10 m", "1d"])
def test_what_is_no_duration_of_at_most_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|between"):
        duration(text)


@pytest.mark.parametrize(
    "text", ["10.0.1.20", "10.0.1.0/24", "[2001:db8::]/32", "2001:db8::25", "example.test", ".example.test"]
)
def test_addresses_networks_and_domains_are_peers(text: str) -> None:
    assert PEER.fullmatch(text)


@pytest.mark.parametrize("text", ["a b", "a,b", "$x", "hash:/etc/x y", "/etc/passwd", "a;b", "", "a\nb"])
def test_tables_and_lists_are_no_peers(text: str) -> None:
    assert PEER.fullmatch(text) is None


def test_a_setting_reaches_over_its_continuation_lines() -> None:
    text = "# one\na = b\n\nmynetworks = 127.0.0.0/8\n  # not ended by a comment\n  10.0.1.0/24\nlast =\n"
    assert list(settings(text)) == [
        Setting(2, 2, "a = b"),
        Setting(4, 6, "mynetworks = 127.0.0.0/8\n  10.0.1.0/24"),
        Setting(7, 7, "last ="),
    ]


def test_a_backup_holds_all_with_owner_and_mode_and_is_for_its_owner_only(tmp_path: Path) -> None:
    config = tmp_path / "postfix"
    (config / "sasl").mkdir(parents=True)
    (config / "main.cf").write_text("myhostname = a\n")
    (config / "sasl" / "password").write_text("secret\n")
    (config / "sasl" / "password").chmod(0o600)
    (config / "link").symlink_to("main.cf")
    file = tmp_path / "backup.tar.gz"
    done = backup.write(file, [config], "mail.example.test")
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(done.paths) == 5
    assert done.missed == ()
    with tarfile.open(file) as archive:
        names = {each.name: each for each in archive.getmembers()}
        inside = str(config).lstrip("/")
        assert names[f"{inside}/sasl/password"].mode == 0o600
        assert names[f"{inside}/link"].linkname == "main.cf"
        manifest = archive.extractfile(backup.MANIFEST)
        assert manifest is not None
        assert b"mail.example.test" in manifest.read()


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "backup.tar.gz").mkdir()
    with pytest.raises(OSError, match="directory"):
        backup.write(tmp_path / "backup.tar.gz", [tmp_path / "backup.tar.gz"])
    assert [each.name for each in tmp_path.iterdir()] == ["backup.tar.gz"]
