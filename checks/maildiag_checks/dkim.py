"""Step 5: can others verify the signatures that this host puts on its mail?"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from maildiag.dns_text import said
from maildiag.facts.dkim import Dkim, PublishedKey
from maildiag.facts.names import PublicNames, texts
from maildiag.model import Confidence, Evidence, Fix, Gap, Step, Verdict, notice, ok, skipped, unknown, warning
from maildiag.probes import CommandResult, DnsAnswer
from maildiag.registry import SERVER, check

ID = "dns.dkim"


@check(
    ID,
    step=Step.DNS,
    asks="Can others verify the signatures of this host's mail?",
    roles=SERVER,
    explained_by=("dns.resolver",),
)
def dkim(found: Dkim, public: PublicNames | None) -> Iterator[Verdict]:
    """Each key that mail is signed with must be published under its selector. Source: RFC 6376 sections 3.6.1 and 6.1.2."""
    if not found.keys:
        yield skipped("No signer that maildiag knows (OpenDKIM, rspamd) is told to sign mail of this host")
    for each in found.keys:
        yield _judge(each, public)


def _judge(each: PublishedKey, public: PublicNames | None) -> Verdict:
    signing, answer = each.signing, each.record
    subject = signing.name
    if isinstance(answer, Gap) or not answer.knows:
        return unknown(f"The key {subject} could not be looked up", detail=said(answer), subject=subject)
    shown = (
        Evidence(signing.place, f"{signing.domain} is signed with the selector {signing.selector} and {signing.key}"),
        Evidence(f"dig {subject} TXT", "\n".join(answer.records) or said(answer)),
    )
    keys = [_published(text) for text in texts(answer) if re.search(r"(^|;)\s*p\s*=", text)]
    own = _own(each.public)
    if not keys:
        return _absent(each, public, shown)
    if "" in keys and len(keys) == 1:
        return warning(
            f"The key {subject} is revoked (p= is empty), and mail is still signed with it: every signature fails",
            subject=subject,
            evidence=shown,
            fixes=(_publish(each),),
        )
    if own and not any(_same(key, own) for key in keys):
        return warning(
            f"The key that {subject} publishes is not the one that signs: every signature fails",
            detail="The key was made anew, or the record was cut when it was entered.",
            subject=subject,
            evidence=(*shown, Evidence(f"openssl pkey -in {signing.key} -pubout", base64.b64encode(own).decode())),
            fixes=(_publish(each),),
        )
    told = "is published, and is the one that signs" if own else "is published"
    return ok(f"The key {subject} {told}", subject=subject, evidence=shown)


def _absent(each: PublishedKey, public: PublicNames | None, shown: tuple[Evidence, ...]) -> Verdict:
    """A view of the DNS that is made for the inside may lack it; one that has the domain's SPF is what others see."""
    domain = each.signing.domain
    known = next((one.txt for one in public.domains if one.domain == domain), None) if public else None
    seen_by_all = isinstance(known, DnsAnswer) and any(text.lower().startswith("v=spf1") for text in texts(known))
    return (warning if seen_by_all else notice)(
        f"Mail of {domain} is signed with a key that {each.signing.name} does not publish: no signature can be verified",
        detail="Receivers treat the mail as unsigned; with DMARC it may be refused."
        if seen_by_all
        else "The DNS that this host asks may be one for the inside alone: ask a public one.",
        subject=each.signing.name,
        evidence=shown,
        fixes=(_publish(each),),
        confidence=Confidence.LIKELY,
    )


def _published(text: str) -> str:
    match = re.search(r"(?:^|;)\s*p\s*=([^;]*)", text)
    return re.sub(r"\s", "", match[1]) if match else ""


def _own(public: CommandResult | Gap) -> bytes:
    """The public key in DER form (SubjectPublicKeyInfo, RFC 5280 section 4.1), or nothing."""
    if isinstance(public, Gap):
        return b""
    match = re.search(r"-----BEGIN PUBLIC KEY-----(.*?)-----END", public.stdout, re.DOTALL)
    return base64.b64decode(match[1]) if match else b""


def _same(published: str, own: bytes) -> bool:
    """RFC 6376 publishes the whole structure or the RSA key in it, RFC 8463 the 32 bytes of an Ed25519 key: each ends it."""
    try:
        key = base64.b64decode(published, validate=True)
    except ValueError:
        return False
    return len(key) >= 32 and own.endswith(key)


def _publish(each: PublishedKey) -> Fix:
    own = _own(each.public)
    kind = "ed25519" if len(own) == 44 else "rsa"
    raw = own[-32:] if kind == "ed25519" else own
    record = (
        f'{each.signing.name}. TXT "v=DKIM1; k={kind}; p={base64.b64encode(raw).decode()}"'
        if own
        else each.signing.name
    )
    return Fix(
        id=f"{ID}/publish",
        title=f"Publish the key that signs under {each.signing.name}",
        needs_root=False,
        ask=f"Please put this record into the zone of {each.signing.domain} (strings of more than 255 characters are split):\n\n{record}",
        verify=(ID,),
    )
