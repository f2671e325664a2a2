"""The name server process of a lab: it answers from a file that may change at any time, and fails as the file says."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 60
_FAILURES = {"servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED, "nxdomain": dns.rcode.NXDOMAIN}


def answer(question: bytes, records: Sequence[Sequence[str]], failing: dict[str, str]) -> bytes | None:
    """The reply to one DNS message from `records` (kind, name, value), or None where `failing` wants silence.

    `failing` maps a zone ("" is all of them) to "timeout" or one of the failures above. A name that exists without the
    type that was asked for gets an empty answer, any other gets NXDOMAIN, as from a real resolver.
    """
    query = dns.message.from_wire(question)
    name, kind = query.question[0].name, query.question[0].rdtype
    reply = dns.message.make_response(query, recursion_available=True)
    how = _failure(name, failing)
    if how == "timeout":
        return None
    if how is not None:
        reply.set_rcode(_FAILURES[how])
        return reply.to_wire()
    zone = [(rtype, dns.name.from_text(owner), value) for rtype, owner, value in records]
    while target := next((value for rtype, owner, value in zone if rtype == "CNAME" and owner == name), None):
        reply.answer.append(dns.rrset.from_text(name, TTL, "IN", "CNAME", _absolute(target)))
        name = dns.name.from_text(target)
    values = [
        _rdata(rtype, value) for rtype, owner, value in zone if owner == name and rtype == dns.rdatatype.to_text(kind)
    ]
    if values:
        reply.answer.append(dns.rrset.from_text(name, TTL, "IN", dns.rdatatype.to_text(kind), *values))
    elif not any(owner.is_subdomain(name) for _, owner, _ in zone):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply.to_wire()


def _failure(name: dns.name.Name, failing: dict[str, str]) -> str | None:
    hits = [zone for zone in failing if name.is_subdomain(dns.name.from_text(zone or "."))]
    return failing[max(hits, key=len)] if hits else None


def _absolute(name: str) -> str:
    return name if name.endswith(".") else f"{name}."


def _rdata(kind: str, value: str) -> str:
    match kind:
        case "TXT":
            return " ".join(json.dumps(value[at : at + 250]) for at in range(0, len(value), 250))
        case "PTR" | "CNAME" | "NS" | "MX" | "SOA" | "SRV":
            return " ".join(
                _absolute(word) if any(letter.isalpha() for letter in word) else word for word in value.split()
            )
        case _:
            return value


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, channel = self.request
        reply = _answer_from_file(data)
        if reply is None:
            return
        if len(reply) > 1232:
            truncated = dns.message.make_response(dns.message.from_wire(data), recursion_available=True)
            truncated.flags |= dns.flags.TC
            reply = truncated.to_wire()
        channel.sendto(reply, self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            reply = _answer_from_file(self.rfile.read(int.from_bytes(head, "big")))
            if reply is not None:
                self.wfile.write(len(reply).to_bytes(2, "big") + reply)


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 4096


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _answer_from_file(question: bytes) -> bytes | None:
    zone = json.loads(Path(sys.argv[1]).read_text())
    return answer(question, zone["records"], zone["failing"])


def main() -> None:
    """Serve the zone file `argv[1]` on the address `argv[2]`, port 53, until killed."""
    where = (sys.argv[2], 53)
    with _UdpServer(where, _Udp) as udp, _TcpServer(where, _Tcp) as tcp:
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        udp.serve_forever()


if __name__ == "__main__":
    main()
