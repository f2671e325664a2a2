"""A seeded generator of realistic mail logs: `python benchmarks/generate.py traffic 1000000 big.log`.

Two scenarios. `traffic`: a mail server's ordinary days (Postfix in and out, LMTP, submission, rejects, logins of
Dovecot users, a little brute force, some deferrals). `storm`: a relay whose destination is down, so that most lines
are retries (`from=` again, `status=deferred` again). The same seed, scenario, count and format give the same bytes.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2026, 11, 16, 0, 0, 0, tzinfo=UTC)
LONG_ID = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxy"
HOST = "mail"
Event = tuple[float, int, str, str]


class Traffic:
    """The state of a generated day: clock, random source, population, event order."""

    def __init__(self, seed: int, iso: bool, long_ids: bool) -> None:
        self.random = random.Random(seed)
        self.iso = iso
        self.long_ids = long_ids
        self.clock = 0.0
        self.serial = 0
        self.queue: list[Event] = []
        pick = self.random
        self.domains = [f"{name}{n}.example" for n in range(400) for name in ("mail", "shop", "news", "corp", "uni")]
        self.remote = [
            f"{pick.choice('abcdefghijklmnop')}user{n}@{self.domains[int(len(self.domains) * pick.random() ** 3)]}"
            for n in range(20000)
        ]
        self.local = [f"user{n}@example.domain" for n in range(800)]
        self.cipher = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"

    def emit(self, delay: float, program: str, text: str) -> None:
        """Queue one line, `delay` seconds after the present clock."""
        self.serial += 1
        heapq.heappush(self.queue, (self.clock + delay, self.serial, program, text))

    def stamp(self, at: float) -> str:
        when = START + timedelta(seconds=at)
        if self.iso:
            return when.isoformat(timespec="microseconds")
        return f"{when:%b} {when.day:2d} {when:%H:%M:%S}"

    def due(self) -> Iterator[str]:
        """Yield the lines whose time has come."""
        while self.queue and self.queue[0][0] <= self.clock:
            at, _, program, text = heapq.heappop(self.queue)
            yield f"{self.stamp(at)} {HOST} {program}: {text}\n"

    def rest(self) -> Iterator[str]:
        """Yield what is still queued, in order."""
        self.clock = float("inf")
        return self.due()

    def queue_id(self) -> str:
        self.serial += 1
        if not self.long_ids:
            return f"{self.serial % 0xFFFFF:05X}{0x180000 + self.serial // 0xFFFFF:06X}"
        seconds, value = "", 1_790_000_000 + int(self.clock)
        while value:
            value, digit = divmod(value, 51)
            seconds = LONG_ID[digit] + seconds
        tail = "".join(LONG_ID[(self.serial // 51**k) % 51] for k in range(4))
        return f"{seconds}{tail}z{tail[::-1]}"

    def address(self) -> str:
        pick = self.random
        return (
            f"203.0.{pick.randrange(113)}.{pick.randrange(1, 255)}"
            if pick.random() < 0.8
            else f"2001:db8::{pick.randrange(65535):x}"
        )

    def pid(self, base: int) -> int:
        return base + self.random.randrange(40)

    def delays(self, total: float) -> str:
        pick = self.random
        parts = [pick.random() for _ in range(4)]
        scale = total / sum(parts)
        return "/".join(f"{part * scale:.2g}" for part in parts)


def inbound(t: Traffic) -> None:
    """Mail from the Internet, delivered by local(8) into a Maildir as the guide sets it up, a third by Dovecot's LMTP."""
    pick, qid, pid = t.random, t.queue_id(), t.pid(2000)
    sender, to, address = pick.choice(t.remote), pick.choice(t.local), t.address()
    client = f"mx{pick.randrange(9)}.{sender.partition('@')[2]}[{address}]"
    smtpd, size, total = f"postfix/smtpd[{pid}]", int(pick.lognormvariate(9.5, 1.4)), pick.lognormvariate(-1, 0.8)
    msgid = f"<{t.serial}.{pick.randrange(1 << 40):x}@{sender.partition('@')[2]}>"
    t.emit(0, smtpd, f"connect from {client}")
    if pick.random() < 0.7:
        t.emit(0.1, smtpd, f"Anonymous TLS connection established from {client}: {t.cipher}")
    t.emit(0.2, smtpd, f"{qid}: client={client}")
    t.emit(0.3, f"postfix/cleanup[{t.pid(2100)}]", f"{qid}: message-id={msgid}")
    t.emit(0.35, "postfix/qmgr[911]", f"{qid}: from=<{sender}>, size={size}, nrcpt=1 (queue active)")
    t.emit(0.4, smtpd, f"disconnect from {client} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7")
    if pick.random() < 0.67:
        t.emit(
            0.35 + total,
            f"postfix/local[{t.pid(2250)}]",
            f"{qid}: to=<{to}>, relay=local, delay={total:.2g}, delays={t.delays(total)}, dsn=2.0.0, status=sent (delivered to maildir)",
        )
        t.emit(0.37 + total, "postfix/qmgr[911]", f"{qid}: removed")
        return
    session, lmtp = f"{pick.randrange(1 << 60):x}", f"{t.pid(3000)}"
    t.emit(0.4, "dovecot", f"lmtp({lmtp}): Connect from local")
    t.emit(0.45, "dovecot", f"lmtp({to})<{lmtp}><{session}>: msgid={msgid}: saved mail to INBOX")
    t.emit(
        0.35 + total, f"postfix/lmtp[{t.pid(2200)}]",
        f"{qid}: to=<{to}>, relay=mail.example.domain[private/dovecot-lmtp], delay={total:.2g}, delays={t.delays(total)}, dsn=2.0.0, "
        f"status=sent (250 2.0.0 <{to}> {session}:1 Saved)",
    )  # fmt: skip
    t.emit(0.36 + total, "dovecot", f"lmtp({lmtp}): Disconnect from local: Logged out (state=READY)")
    t.emit(0.37 + total, "postfix/qmgr[911]", f"{qid}: removed")


def outbound(t: Traffic) -> None:
    """Mail of an authenticated user or of the host itself, delivered to other hosts."""
    pick, qid = t.random, t.queue_id()
    user, size, total = pick.choice(t.local), int(pick.lognormvariate(9, 1.5)), pick.lognormvariate(0.2, 1)
    if pick.random() < 0.8:
        client = f"client{pick.randrange(90)}.example.domain[10.0.1.{pick.randrange(1, 250)}]"
        smtpd = f"postfix/submission/smtpd[{t.pid(2300)}]"
        t.emit(0, smtpd, f"connect from {client}")
        t.emit(0.1, smtpd, f"{qid}: client={client}, sasl_method=PLAIN, sasl_username={user}")
        t.emit(0.3, smtpd, f"disconnect from {client} ehlo=2 starttls=1 auth=1 mail=1 rcpt=1 data=1 quit=1 commands=8")
    else:
        user = f"www-data@{HOST}.example.domain"
        t.emit(0.1, f"postfix/pickup[{t.pid(2350)}]", f"{qid}: uid=33 from=<{user}>")
    t.emit(
        0.15,
        f"postfix/cleanup[{t.pid(2100)}]",
        f"{qid}: message-id=<{t.serial}.{pick.randrange(1 << 40):x}@{HOST}.example.domain>",
    )
    recipients = [pick.choice(t.remote) for _ in range(1 if pick.random() < 0.9 else pick.randrange(2, 9))]
    t.emit(0.2, "postfix/qmgr[911]", f"{qid}: from=<{user}>, size={size}, nrcpt={len(recipients)} (queue active)")
    again = [to for to in recipients if outcome(t, qid, to, total)]
    if again:
        t.emit(400, "postfix/qmgr[911]", f"{qid}: from=<{user}>, size={size}, nrcpt={len(recipients)} (queue active)")
    for to in again:
        relay = f"mx9.{to.partition('@')[2]}[198.51.100.9]:25"
        t.emit(
            401 + total,
            f"postfix/smtp[{t.pid(2400)}]",
            f"{qid}: to=<{to}>, relay={relay}, delay={401 + int(total)}, delays=400/0.01/0.4/0.6, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {pick.randrange(1 << 44):011X})",
        )
    t.emit((402 if again else 0.3) + total, "postfix/qmgr[911]", f"{qid}: removed")


def _at_its_address(host: str) -> str:
    """`host[address]`: a mail exchanger keeps its address."""
    number = zlib.crc32(host.encode())
    return f"{host}[198.51.{number >> 8 & 127}.{number & 255}]"


def outcome(t: Traffic, qid: str, to: str, total: float) -> bool:
    """One delivery: mostly sent, some bounced, some deferred; true if it must be tried again."""
    pick, domain, smtp = t.random, to.partition("@")[2], f"postfix/smtp[{t.pid(2400)}]"
    relay, chance = f"{_at_its_address(f'mx{pick.randrange(3)}.{domain}')}:25", pick.random()
    if chance < 0.5:
        t.emit(0.21, smtp, f"Trusted TLS connection established to {relay}: {t.cipher}")
    head = f"{qid}: to=<{to}>, relay={relay}, delay={total:.2g}, delays={t.delays(total)}"
    if chance < 0.90:
        t.emit(
            0.2 + total,
            smtp,
            f"{head}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {pick.randrange(1 << 44):011X})",
        )
    elif chance < 0.94:
        said = f"host {relay.removesuffix(':25')} said: 550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command)"
        t.emit(0.2 + total, smtp, f"{head}, dsn=5.1.1, status=bounced ({said})")
    elif chance < 0.97:
        said = f"host {relay.removesuffix(':25')} said: 450 4.2.0 <{to}>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/{domain}.html (in reply to RCPT TO command)"
        t.emit(0.2 + total, smtp, f"{head}, dsn=4.2.0, status=deferred ({said})")
        return True
    else:
        address = relay.rpartition("[")[2].partition("]")[0]
        t.emit(30, smtp, f"connect to mx1.{domain}[{address}]:25: Connection timed out")
        said = f"connect to mx1.{domain}[{address}]:25: Connection timed out"
        t.emit(
            30,
            smtp,
            f"{qid}: to=<{to}>, relay=none, delay=30, delays=0.1/0.01/30/0, dsn=4.4.1, status=deferred ({said})",
        )
        return True
    return False


def rejected(t: Traffic) -> None:
    """Junk that is refused at the door, and clients that try passwords."""
    pick, pid, address = t.random, t.pid(2000), t.address()
    smtpd, sender, to = f"postfix/smtpd[{pid}]", pick.choice(t.remote), pick.choice(t.local)
    t.emit(0, smtpd, f"connect from unknown[{address}]")
    tail = f"from=<{sender}> to=<{to}> proto=ESMTP helo=<win-{pick.randrange(4096):x}>"
    replies: list[Callable[[], str]] = [
        lambda: (
            f"NOQUEUE: reject: RCPT from unknown[{address}]: 554 5.7.1 Service unavailable; Client host [{address}] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/{address}; {tail}"
        ),
        lambda: (
            f"NOQUEUE: reject: RCPT from unknown[{address}]: 550 5.1.1 <nobody{pick.randrange(999)}@example.domain>: Recipient address rejected: User unknown in local recipient table; {tail}"
        ),
        lambda: f"NOQUEUE: reject: RCPT from unknown[{address}]: 454 4.7.1 <{sender}>: Relay access denied; {tail}",
        lambda: (
            f"NOQUEUE: reject: RCPT from unknown[{address}]: 450 4.7.1 <win-{pick.randrange(4096):x}>: Helo command rejected: Host not found; {tail}"
        ),
        lambda: f"warning: unknown[{address}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        lambda: (
            f"warning: hostname host{pick.randrange(99)}.{pick.choice(t.domains)} does not resolve to address {address}: Name or service not known"
        ),
    ]
    t.emit(0.5, smtpd, pick.choice(replies)())
    t.emit(0.9, smtpd, f"{pick.choice(['lost connection after RCPT from', 'disconnect from'])} unknown[{address}]")


def login(t: Traffic) -> None:
    """An IMAP session, or a failed login."""
    pick, user, session = t.random, t.random.choice(t.local), f"{t.random.randrange(1 << 60):x}"
    rip = f"10.0.1.{pick.randrange(1, 250)}"
    if pick.random() < 0.07:
        t.emit(
            0,
            "dovecot",
            f"imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip={t.address()}, lip=10.0.1.10, TLS, session=<{session}>",
        )
        return
    pid = t.pid(5000)
    t.emit(
        0,
        "dovecot",
        f"imap-login: Login: user=<{user}>, method=PLAIN, rip={rip}, lip=10.0.1.10, mpid={pid}, TLS, session=<{session}>",
    )
    t.emit(
        pick.uniform(1, 900), "dovecot",
        f"imap({user})<{pid}><{session}>: Disconnected: Logged out in={pick.randrange(9999)} out={pick.randrange(99999)} deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0",
    )  # fmt: skip


def background(t: Traffic) -> None:
    """The rest: statistics, warnings of a configuration that is not perfect."""
    pick = t.random
    t.emit(
        0,
        f"postfix/anvil[{t.pid(2500)}]",
        f"statistics: max connection rate {pick.randrange(60)}/60s for (smtp:{t.address()}) at {START:%b %d %H:%M:%S}",
    )
    if pick.random() < 0.2:
        t.emit(
            0,
            "postfix/smtpd[2001]",
            "warning: database /etc/postfix/virtual.db is older than source file /etc/postfix/virtual",
        )


def storm_message(t: Traffic) -> None:
    """A message to a destination that is down: submitted once, tried eight times and more."""
    pick, qid = t.random, t.queue_id()
    user, to, size = f"app{pick.randrange(30)}@example.domain", pick.choice(t.remote), int(pick.lognormvariate(8, 1))
    t.emit(0, f"postfix/pickup[{t.pid(2350)}]", f"{qid}: uid=33 from=<{user}>")
    t.emit(0.1, f"postfix/cleanup[{t.pid(2100)}]", f"{qid}: message-id=<{t.serial}@app.example.domain>")
    at, tries, reasons = 0.2, pick.randrange(6, 12), ["Connection timed out", "Connection refused", "No route to host"]
    for attempt in range(tries):
        relay, smtp = (
            f"relay{pick.randrange(4)}.example.net[192.0.2.{pick.randrange(1, 20)}]:25",
            f"postfix/smtp[{t.pid(2400)}]",
        )
        delay = int(at) + 30
        t.emit(at, "postfix/qmgr[911]", f"{qid}: from=<{user}>, size={size}, nrcpt=1 (queue active)")
        if attempt == tries - 1 and pick.random() < 0.7:
            t.emit(
                at + 1,
                smtp,
                f"{qid}: to=<{to}>, relay={relay}, delay={delay}, delays={delay - 1}/0.02/0.5/0.5, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {pick.randrange(1 << 44):011X})",
            )
            t.emit(at + 1.1, "postfix/qmgr[911]", f"{qid}: removed")
            return
        if pick.random() < 0.6:
            reason = f"connect to {relay}: {pick.choice(reasons)}"
            t.emit(
                at + 30,
                smtp,
                f"{qid}: to=<{to}>, relay=none, delay={delay}, delays={delay - 30}/0.03/30/0, dsn=4.4.1, status=deferred ({reason})",
            )
        else:
            reason = f"host {relay.removesuffix(':25')} said: 451 4.7.1 <{to}>: Recipient address rejected: try again in {pick.randrange(60, 900)} seconds (in reply to RCPT TO command)"
            t.emit(
                at + 2,
                smtp,
                f"{qid}: to=<{to}>, relay={relay}, delay={delay}, delays={delay - 2}/0.03/1.2/0.8, dsn=4.7.1, status=deferred ({reason})",
            )
        at += 300 * 2 ** min(attempt, 4) + pick.uniform(0, 60)


SCENARIOS: dict[str, tuple[tuple[Callable[[Traffic], None], float], ...]] = {
    "traffic": ((inbound, 0.38), (outbound, 0.14), (rejected, 0.18), (login, 0.25), (background, 0.05)),
    "storm": ((storm_message, 0.90), (inbound, 0.05), (login, 0.04), (background, 0.01)),
}


def lines(scenario: str, count: int, seed: int = 1, iso: bool = False, long_ids: bool = False) -> Iterator[str]:
    """Yield exactly `count` lines of a scenario, in order of time."""
    traffic = Traffic(seed, iso, long_ids)
    makers, weights = zip(*SCENARIOS[scenario], strict=True)
    per_line = 3 * 86400 / count  # the log spans about three days, whatever its length
    written = 0
    while written < count:
        traffic.random.choices(makers, weights)[0](traffic)
        traffic.clock += traffic.random.expovariate(1 / (per_line * 6))
        for line in traffic.due() if written + len(traffic.queue) < count else traffic.rest():
            if written == count:
                return
            written += 1
            yield line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("lines", type=int)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--iso", action="store_true", help="RFC 3339 timestamps instead of the classic ones")
    parser.add_argument("--long-ids", action="store_true", help="long queue ids")
    args = parser.parse_args()
    with args.output.open("w", encoding="utf-8") as output:
        output.writelines(lines(args.scenario, args.lines, args.seed, args.iso, args.long_ids))
    return 0


if __name__ == "__main__":
    sys.exit(main())
