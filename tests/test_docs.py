"""The documentation keeps up with the code: generated parts are fresh, examples work, links lead somewhere."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
import types
from fnmatch import fnmatch
from pathlib import Path

import pytest
from textual.binding import Binding

from maildiag import registry
from maildiag.cli import COMMANDS
from maildiag.config import load
from maildiag.model import Status
from maildiag.probes import ReadFile, command
from maildiag.reading import FILES
from maildiag.resources import incidents
from maildiag.testing import diagnose, file, printed
from maildiag.tui.app import MaildiagApp
from tests.support import ROOT

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), ROOT / "checks" / "README.md"]
)
OF_THE_GUIDE = (
    "mailq", "postqueue -p", "postqueue -f", "postqueue -i", "postsuper -d", "postsuper -h", "postsuper -H", "postcat -q",
    "systemctl status", "systemctl start", "postfix status", "postfix check", "postfix reload", "tail -f", "journalctl -u",
    "telnet", "nc -", "nmap", "EHLO", "ss -tlnp", "netstat", "lsof", "ip addr", "ip route", "ping", "traceroute", "mtr",
    "firewall-cmd --list-all", "--list-services", "--add-service", "--reload", "ufw status", "ufw allow", "iptables -L",
    "host`", "nslookup", "dig", "resolv.conf", "resolvectl", "getent hosts", "hostname -f", "hostnamectl",
    "doveadm auth test", "auth cache flush", "doveadm user", "doveadm fetch", "mailbox list", "doveconf -n", "doveadm log test",
    "quota", "postconf -n", "mynetworks", "transport_maps", "relay_domains", "postmap -q", "debug_peer_list", "auth_debug",
    "mail_debug", "verbose_ssl", "pflogsumm", "uname",
)  # fmt: skip


def generated() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_fresh() -> None:
    stale = [path for path, text in generated().files().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run ./dev docs: {stale}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_command_of_the_guide_is_mapped() -> None:
    page = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert [each for each in OF_THE_GUIDE if each not in page] == []


def test_the_guide_names_only_checks_and_commands_that_exist() -> None:
    page = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    steps = "services|queue|logs|connectivity|dns|firewall|authentication"
    named = set(re.findall(rf"`((?:{steps})\.[a-z-]+)`", page))
    assert sorted(named - set(registry.builtin().checks)) == []
    assert set(re.findall(r"`maildiag ([a-z-]+)", page)) <= set(COMMANDS)


def test_every_command_is_in_the_readme_or_the_docs() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [each for each in COMMANDS if f"maildiag {each}" not in text] == []


def test_the_readme_counts_right() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    checks, faults = (re.search(pattern, text) for pattern in (r"(\d+)\+ \[checks\]", r"(\d+)\+ faults"))
    assert checks is not None
    assert int(checks[1]) <= len(registry.builtin().checks)
    assert faults is not None
    assert int(faults[1]) <= len(list((ROOT / "tests" / "lab" / "faults").rglob("*.toml")))


def test_every_file_that_the_incidents_read_is_in_the_list_of_files() -> None:
    patterns = [path for each in FILES for path in each.paths]
    told = [
        json.loads(line) for path in incidents().values() for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    read = {each["ask"]["path"] for each in told if each.get("ask", {}).get("_") == "ReadFile"}
    assert read
    assert sorted(each for each in read if not any(fnmatch(each, pattern) for pattern in patterns)) == []


def test_every_file_that_the_code_names_to_be_read_is_in_the_list_of_files() -> None:
    patterns = [path for each in FILES for path in each.paths]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "maildiag" / "facts").glob("*.py"))
    named = set(re.findall(r'ReadFile\("(/[^"]+)"', code))
    assert named
    assert sorted(each for each in named if not any(fnmatch(each, pattern) for pattern in patterns)) == []


def test_every_key_of_all_screens_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "tui.md").read_text(encoding="utf-8")
    bound = {key for binding in MaildiagApp.BINDINGS if isinstance(binding, Binding) for key in binding.key.split(",")}
    named = {"question_mark": "?", "colon": ":", "at": "@", "f1": "F1", "f5": "F5"}
    missing = [key for key in sorted(bound - set("234567") - {"ctrl+r"}) if f"`{named.get(key, key)}`" not in page]
    assert missing == []


def test_the_example_configuration_is_valid_and_names_every_setting(tmp_path: Path) -> None:
    text = blocks("configuration.md", "toml")[0]
    (tmp_path / "config.toml").write_text(text)
    loaded = load(tmp_path / "config.toml")
    assert [key for key, origin in loaded.origins.items() if origin == "default"] == []
    assert tomllib.loads(text)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_example_of_a_check_works(tmp_path: Path) -> None:
    path = tmp_path / "example_check.py"
    path.write_text(blocks("writing-a-check.md", "python")[0])
    spec = importlib.util.spec_from_file_location("example_check", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["example_check"] = module
    spec.loader.exec_module(module)
    from maildiag.facts import dovecot, host, postfix

    answers = {
        command("postconf", "-x"): printed("myhostname = old.example.test\n"),
        ReadFile("/etc/mailname"): file("mail.example.test\n"),
    }
    report = diagnose(answers, module, host, postfix, dovecot)
    found = report.finding("services.greeting")
    assert found is not None
    assert found.status is Status.WARNING
    without = diagnose({command("postconf", "-x"): printed("myhostname = a\n")}, module, host, postfix, dovecot)
    assert without.findings[0].status is Status.UNKNOWN


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").exists()


def test_the_man_page_is_set_without_a_warning() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    page = str(ROOT / "packaging" / "maildiag.1")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", page], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_the_units_are_sound() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = [str(ROOT / "packaging" / "systemd" / name) for name in ("maildiag.service", "maildiag.timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    mine = [line for line in done.stderr.splitlines() if "maildiag" in line and "is not executable" not in line]
    assert [line for line in mine if "No such file" not in line] == []


def test_the_service_is_as_confined_as_one_can_be_that_reads_a_whole_host() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = str(ROOT / "packaging" / "systemd" / "maildiag.service")
    argv = ["systemd-analyze", "security", "--offline=yes", "--threshold=40", "--no-pager", unit]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
