"""What the host's own mail ports answer: a dialogue with each, on loopback and on the address that clients use."""

from __future__ import annotations

from maildiag.asking import Ask
from maildiag.facts import smtpd_certificate
from maildiag.facts.postfix import Postfix
from maildiag.facts.sockets import Expected, Owner, Port, Sockets, is_any, is_loopback
from maildiag.model import Gap, HostRole, Role
from maildiag.probes import Dialogue, Listeners, Protocol, Tls, Transcript
from maildiag.records import dataclass
from maildiag.registry import begins


@dataclass(frozen=True, slots=True)
class Talk:
    """A dialogue with one of the host's own ports; `listening` tells whether a socket is bound there."""

    port: Port
    address: str
    probe: Dialogue
    transcript: Transcript | Gap
    listening: bool

    @property
    def subject(self) -> str:
        """How findings name it: `25`, `25 on 10.0.1.10`."""
        return f"{self.port.number} on {self.address}"


@dataclass(frozen=True, slots=True)
class OwnDialogues:
    """The dialogues with all of the host's own mail ports."""

    talks: tuple[Talk, ...]

    def of(self, protocol: Protocol) -> tuple[Talk, ...]:
        """Those that speak this protocol."""
        return tuple(each for each in self.talks if each.port.protocol is protocol)


@begins(ahead=True)
def own_dialogues(ask: Ask, expected: Expected, postfix: Postfix | None, role: HostRole) -> OwnDialogues:
    """Speak to every port that should be served, all side by side; who listens is seen meanwhile.

    smtpd is not asked for a STARTTLS that it must refuse: it mails the postmaster a transcript of each
    (postconf(5) notify_classes, software).
    """
    here = Sockets(expected.ports, (), expected.interfaces)
    places = [(port, each) for port in expected.ports if port.protocol for each in addresses(port, here)]
    without_smtpd = [(port, address) for port, address in places if not _needs_certificate(port)]
    if postfix is not None:
        smtpd_certificate.begin(ask, postfix)
    for port, address in without_smtpd:
        ask.begin(_probe(port, address, postfix, role, port.tls))
    useless = postfix is not None and len(without_smtpd) < len(places) and smtpd_certificate.refuses(ask, postfix)
    probes = [
        _probe(port, address, postfix, role, Tls.NONE if useless and _needs_certificate(port) else port.tls)
        for port, address in places
    ]
    for probe in probes:
        ask.begin(probe)
    sockets = Sockets(expected.ports, ask(Listeners()), expected.interfaces)
    return OwnDialogues(
        tuple(
            Talk(port, address, probe, answer, listens(sockets, port.number, address))
            for (port, address), probe, answer in zip(places, probes, ask.all(probes), strict=True)
        )
    )


def addresses(port: Port, sockets: Sockets) -> tuple[str, ...]:
    """Where to try a port: loopback, and the first address that other hosts use."""
    others = [each for each in sockets.own if ":" not in each]
    if not port.addresses:
        return ("127.0.0.1", *others[:1])
    bound = [each for each in port.addresses if each[:1].isdigit() and ":" not in each]
    named = [each for each in port.addresses if not each[:1].isdigit() and ":" not in each]
    found = [*bound, *(others[:1] if named else [])]
    return tuple(dict.fromkeys(each for each in found if is_loopback(each) or each in others))[:3]


def listens(sockets: Sockets, number: int, address: str) -> bool:
    """True where a socket accepts connections to this address and port."""
    return any(
        each.address == address or is_any(each.address) or each.address == f"::ffff:{address}"
        for each in sockets.on(number)
    )


def _needs_certificate(port: Port) -> bool:
    """True where smtpd would answer STARTTLS with the certificate of main.cf."""
    of_its_own = any(name in port.options for name in ("smtpd_tls_cert_file", "smtpd_tls_chain_files"))
    return port.tls is Tls.STARTTLS and port.owner is Owner.POSTFIX and not of_its_own


def _probe(port: Port, address: str, postfix: Postfix | None, role: HostRole, tls: Tls) -> Dialogue:
    assert port.protocol is not None
    helo = "localhost"
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    if port.protocol is Protocol.SMTP and postfix is not None:
        helo = postfix.get("myhostname", "localhost")
        if port.owner is Owner.POSTFIX and port.number == 25 and (is_loopback(address) or port.addresses == (address,)):
            sender, recipients = _envelope(postfix, role)
    return Dialogue(port.protocol, address, port.number, tls, helo, sender, recipients, helo, timeout=12.0)


def _envelope(postfix: Postfix, role: HostRole) -> tuple[str, tuple[str, ...]]:
    """The null sender, and on a mail server the postmaster that every domain must accept (RFC 5321 section 4.5.1)."""
    own = [
        each for each in postfix.list("mydestination") if not each.startswith(("localhost", "/")) and ":" not in each
    ]
    domain = postfix.get("mydomain")
    if role.role is not Role.MAIL_SERVER or not own:
        return "", ()
    return "", (f"postmaster@{domain if domain in own else own[0]}",)


def is_encrypted(talk: Talk) -> bool:
    """True where the dialogue ended up under TLS."""
    return talk.port.tls is Tls.IMPLICIT or (
        not isinstance(talk.transcript, Gap) and talk.transcript.certificate is not None
    )
