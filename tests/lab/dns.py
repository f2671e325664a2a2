"""The DNS of a lab: records that a test can change, and the ways in which DNS fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from tests.lab.instance import Instance
from tests.lab.network import DNS_ADDRESS, PARTNER_ADDRESS, Network
from tests.lab.process import wait_for

FAILURES = ("servfail", "refused", "nxdomain", "timeout")

_PART = "dns"
_SERVER = Path(__file__).with_name("nameserver_process.py")

# A key that nobody signs with here; a checker wants a DKIM record that it can parse.
_DKIM_KEY = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA6t7U5T97sdYJ6fF0QeqUbQVgzoX4ulvd2x1Ffd3HR1gxDnk6C6EyS3tXTnn3h8EfeMbU"
    "4Mwt4zHI4asZRbz7TV/rpE8VKK0J2lNsGqJYbQfy+zv/ldGV7dhtLVb43d1dngI5toXtYOChwmz1Ew7QTYGYWfsIHxN8henf+vsE6i5N6UCpFqJb"
    "mDEYc18lzBfTQOKgYZF9Gp9mZp15uMSr4avYjXcTZXFgyGoXYBCi9YhNLjLI68ixlzxVFYBnFRXA+IB2YAY/Osv5muV+g7UrBGmUd24sQH2eE4pW"
    "TJekD65PGMqsQcrsPbakrrkmY0hyDHjGyO8g2d1TwLoi/nFChQIDAQAB"
)


@dataclass(frozen=True, slots=True)
class Record:
    """One DNS record. `value` is an address (A, AAAA), a name (PTR, CNAME, NS), "10 name" (MX), or plain text (TXT)."""

    kind: str
    name: str
    value: str


def reverse_name(address: str) -> str:
    """The name of the PTR record of an IPv4 address."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _host(name: str, address: str) -> tuple[Record, Record]:
    return Record("A", name, address), Record("PTR", reverse_name(address), name)


def _zone(name: str) -> tuple[Record, Record]:
    soa = f"dns.example.test hostmaster.{name} 1 3600 600 604800 60"
    return Record("SOA", name, soa), Record("NS", name, "dns.example.test")


HEALTHY_RECORDS = (
    *_zone("example.test"),
    *_zone("partner.test"),
    *_zone("1.0.10.in-addr.arpa"),
    *_host("mail.example.test", "10.0.1.10"),
    *_host("app01.example.test", "10.0.1.20"),
    *_host("app02.example.test", "10.0.1.21"),
    *_host("dns.example.test", DNS_ADDRESS),
    *_host("mx.partner.test", PARTNER_ADDRESS),
    Record("MX", "example.test", "10 mail.example.test"),
    Record("TXT", "example.test", "v=spf1 mx -all"),
    Record("TXT", "mail._domainkey.example.test", f"v=DKIM1; k=rsa; p={_DKIM_KEY}"),
    Record("TXT", "_dmarc.example.test", "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.test"),
    Record("MX", "partner.test", "10 mx.partner.test"),
    Record("TXT", "partner.test", "v=spf1 mx -all"),
)


class Dns:
    """The name server at 10.0.1.53. A change is in force when the call returns; the hosts ask it directly."""

    def __init__(self, instance: Instance, network: Network) -> None:
        self._instance, self._network = instance, network
        self._records: tuple[Record, ...] = HEALTHY_RECORDS
        self._failing: dict[str, str] = {}
        self._zone_file = instance.directory / "zone.json"
        self._runs = False

    def start(self) -> None:
        """Run, if it does not; records and failures are as they were."""
        self._publish()
        if not self._runs:
            server = [sys.executable, "-P", str(_SERVER), str(self._zone_file), DNS_ADDRESS]
            self._instance.spawn(_PART, [*self._network.enter_switch(), *server])
            wait_for("the name server", self._listens, timeout=15)
            self._runs = True

    def stop(self) -> None:
        """Do not run: the machine answers questions with "port unreachable"."""
        self._runs = False
        self._instance.end(_PART)

    def reset(self) -> None:
        """Run, with the healthy records and no failure."""
        self._records, self._failing = HEALTHY_RECORDS, {}
        self.start()

    def add(self, kind: str, name: str, value: str) -> None:
        """Add one record (see Record)."""
        self._change((*self._records, Record(kind, name, value)))

    def remove(self, kind: str, name: str) -> None:
        """Remove all records of `kind` at `name`; raises ValueError where there is none, so that no fault is a typing slip."""
        kept = tuple(record for record in self._records if (record.kind, record.name) != (kind, name))
        if kept == self._records:
            raise ValueError(f"no {kind} record at {name}")
        self._change(kept)

    def replace(self, kind: str, name: str, value: str) -> None:
        """Put one record in the place of all of `kind` at `name`."""
        kept = (record for record in self._records if (record.kind, record.name) != (kind, name))
        self._change((*kept, Record(kind, name, value)))

    def fail(self, how: str, zone: str = "") -> None:
        """Fail for `zone` and all below it ("" for everything); raises ValueError when `how` is not one of FAILURES."""
        if how not in FAILURES:
            raise ValueError(f"DNS fails by {', '.join(FAILURES)}, not {how!r}")
        self._failing[zone] = how
        self._publish()

    def _change(self, records: Iterable[Record]) -> None:
        self._records = tuple(records)
        self._publish()

    def _publish(self) -> None:
        part = self._zone_file.with_suffix(".part")
        part.write_text(
            json.dumps({"records": [astuple(record) for record in self._records], "failing": self._failing})
        )
        part.replace(self._zone_file)

    def _listens(self) -> str:
        return self._network.in_switch(["ss", "-Hltn", f"src {DNS_ADDRESS}:53"]).stdout
