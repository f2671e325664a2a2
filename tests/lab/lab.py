"""A whole lab: a mail server, two application servers, DNS and a partner, in a network of their own."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.dns import Dns
from tests.lab.errors import LabError
from tests.lab.golden import golden_layers, on_all
from tests.lab.guide import PASSWORDS
from tests.lab.hosts import ALL_HOSTS, APP01, APP02, MAIL, Host
from tests.lab.images import release_named, root_image
from tests.lab.installing import install_on, maildiag_layer
from tests.lab.instance import Instance
from tests.lab.network import Network
from tests.lab.partner import Partner
from tests.lab.process import wait_for

_CLIENT = Path(__file__).with_name("mailclient.py")
PARTNER_DOMAIN = "partner.test"


class Lab:
    """`with Lab("debian12") as lab:` boots all hosts, configured by the guide and healthy, and ends them afterwards.

    With `maildiag` the maildiag of this checkout is installed on every host, now and after each reset. `purpose` is what
    `python -m tests.lab status` calls it; only a lab that is "up" is one that people enter and end by hand.
    """

    def __init__(self, release: str = "debian12", *, maildiag: bool = False, purpose: str = "test") -> None:
        self.release = release_named(release)
        layers = golden_layers(self.release)
        on_top = (maildiag_layer(self.release),) if maildiag else ()
        self.instance = Instance(release, purpose=purpose)
        self.network = Network(self.instance)
        self.dns = Dns(self.instance, self.network)
        self.partner = Partner(self.instance, self.network, root_image(self.release))
        self.hosts = {
            spec.name: Host(spec, self.instance, self.network, (*on_top, *layers[spec.name])) for spec in ALL_HOSTS
        }
        self.mail, self.app01, self.app02 = (self.hosts[spec.name] for spec in (MAIL, APP01, APP02))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Boot everything; about two seconds when the images are there. Raises LabError with the reason when a host is not well."""
        self.network.start()
        self.dns.start()
        self.partner.start()
        on_all(Host.boot, self.hosts.values())

    def stop(self) -> None:
        """End everything that this lab started, and remove its files."""
        self.instance.destroy()

    def reset(self) -> None:
        """DNS, the partner, the mail server, which all talk to, and every other host that was used, back to healthy."""
        self.dns.reset()
        self.partner.reset()
        on_all(Host.reset, [host for host in self.hosts.values() if host.used or host is self.mail])

    def install_maildiag(self) -> None:
        """Install this checkout's maildiag on all hosts: at once, and after each reset from now on."""
        layer = maildiag_layer(self.release)
        for host in self.hosts.values():
            install_on(host.leader, layer)
            host.add_layer(layer)

    def deliver(self, from_host: Host, to: str, *, timeout: float = 30.0, over: str = "imap") -> float:
        """Send a message with sendmail on `from_host` to the address `to`, and wait until it has arrived.

        A local user's mailbox is read from app02 over "imap" or "pop3"; mail to the partner is awaited at the partner.
        Returns the seconds it took. Raises LabError with queue and log of the servers when it takes longer than `timeout`.
        """
        token, started = f"lab-{uuid.uuid4().hex[:12]}", time.monotonic()
        try:
            message = f"From: lab@example.test\nTo: {to}\nSubject: {token}\n\nA message of the lab.\n"
            from_host.run(["sendmail", "-f", "alice@example.test", to], input=message)
            self.await_arrival(token, to, timeout=timeout, over=over)
        except LabError as problem:
            raise LabError(f"{from_host.name} to {to}: {problem}\n{self._trail(from_host)}") from problem
        return time.monotonic() - started

    def submit(self, user: str, to: str, *, timeout: float = 30.0) -> float:
        """Send a message from app02 through port 587 with STARTTLS and AUTH as `user`, and wait for it as `deliver` does."""
        started = time.monotonic()
        try:
            self.await_arrival(self.submit_only(user, to), to, timeout=timeout)
        except LabError as problem:
            raise LabError(f"submission by {user} to {to}: {problem}\n{self._trail(self.mail)}") from problem
        return time.monotonic() - started

    def submit_only(self, user: str, to: str) -> str:
        """Submit as `submit` does, without waiting for the arrival; returns the subject. Raises LabError where it is refused."""
        token = f"lab-{uuid.uuid4().hex[:12]}"
        self._client("submit", "mail.example.test", "587", user, PASSWORDS[user], f"{user}@example.test", to, token)
        return token

    def await_arrival(self, token: str, to: str, *, timeout: float = 30.0, over: str = "imap") -> None:
        """Wait until the message whose subject is `token` has arrived at `to`; raises LabError after `timeout` seconds."""
        user, _, domain = to.partition("@")
        if domain == PARTNER_DOMAIN:
            wait_for(
                f"{token} at the partner",
                lambda: any(token in text for text in self.partner.messages()),
                timeout=timeout,
            )
        else:
            self._client("wait", over, MAIL.address, user, PASSWORDS[user], token, f"{timeout:g}", timeout=timeout)

    def login(self, user: str, *, password: str | None = None, protocol: str = "imap", security: str = "tls") -> None:
        """Log in from app02 by the mail server's name, and out again.

        `protocol` is "imap" or "pop3", `security` is "plain", "starttls" or "tls" (the certificate is verified). Raises LabError
        with the client's error where it fails.
        """
        words = password if password is not None else PASSWORDS[user]
        self._client("login", protocol, "mail.example.test", security, user, words)

    def _client(self, *arguments: str, timeout: float = 30.0) -> None:
        done = self.app02.run(
            ["python3", "-", *arguments], input=_CLIENT.read_text(), timeout=timeout + 15, check=False
        )
        if done.returncode != 0:
            raise LabError(done.stderr.strip())

    def _trail(self, *others: Host) -> str:
        parts = []
        for host in {host.name: host for host in (*others, self.mail)}.values():
            show = "postqueue -p 2>&1 | tail -n 20; tail -n 25 /var/log/mail.log 2>&1 || journalctl -n 25"
            parts.append(f"--- {host.name}: queue and log\n{host.run(['sh', '-c', show], check=False).stdout}")
        return "\n".join(parts)
