"""Why a message was deferred, bounced or rejected: a class from a closed list and a text without variable parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from maildiag.logs.normal import normalise
from maildiag.logs.patterns import later, search

# The closed list: id, pattern, meaning. The first match wins, so what is specific stands before what is general.
# Patterns are lower case and searched in the lower-cased reason. Wordings: Postfix's smtp, local, virtual, pipe, qmgr
# and smtpd sources, Dovecot's LMTP, and the replies of large providers.
# fmt: off
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("loop.self", r"loops? back to myself|mail for \S+ loops|too many hops|hop ?count exceeded|mail forwarding loop|recipient nesting limit exceeded", "The message goes round in circles."),
    ("tls.unverified", r"server certificate not (?:verified|trusted)|certificate verification failed|certificate has expired|unable to verify|server certificate.{0,30}(?:mismatch|untrusted)", "The other server's certificate is not trusted."),
    ("tls.not-offered", r"tls is required, but was not offered|tls is required, but host \S+ refused to start tls|encryption (?:is )?required but", "TLS is required and the other server does not offer it."),
    ("tls.required", r"must issue a starttls command first|(?:tls|starttls|encryption).{0,20}(?:required|needed)|5\.7\.10", "The server wants TLS before anything else."),
    ("tls.local-problem", r"tls not available due to local problem|tls is required, but (?:our )?tls engine is unavailable|tls is required, but unavailable|local tls problem|client tls configuration problem", "TLS cannot be used because of a local problem."),
    ("tls.handshake", r"cannot start tls|tls handshake|ssl_connect error|while (?:performing|sending) (?:the )?(?:tls|starttls)", "The TLS handshake failed."),
    ("tls.dane", r"tlsa lookup|dane |no tlsa|non dnssec destination|dnssec", "DANE is required and cannot be used."),
    ("auth.rejected", r"sasl (?:\[cached\] )?authentication failed|authentication (?:failed|unsuccessful|credentials invalid)|\b535[ -]|5\.7\.139|bad username or password|username and password not accepted", "The relay does not accept user and password."),
    ("auth.no-mechanism", r"no (?:compatible|worthy|supported) .{0,30}(?:mech|authentication)|offered no compatible authentication|no mechanism available", "No authentication mechanism fits both sides."),
    ("auth.required", r"authentication (?:is )?required|must authenticate|need to authenticate|not authenticated\b(?!.*(?:spf|dkim|dmarc))|5\.7\.57|smtp auth|log ?in (?:first|required)", "The relay wants a login that was not given."),
    ("auth.temporary", r"temporary authentication failure|\b454[ -]4\.7\.0.*authentication", "The relay cannot check logins at present."),
    ("sender.not-owned", r"not owned by user|5\.7\.60|send as|sender address (?:is )?not (?:allowed|permitted|authori[sz]ed)|not allowed to (?:use|send)\b.{0,30}(?:from|sender|as)", "The login may not use this sender address."),
    ("local.command", r"command output: (?:local|pipe): fatal: execvp ", "A delivery command failed."),
    ("relay.denied", r"relay(?:ing)? (?:access )?(?:is )?(?:denied|not permitted|not allowed|prohibited)|unable to relay|relaying denied|not permitted to relay|cannot relay|relay not permitted|we do not relay|does not relay|5\.7\.64", "The server does not relay for this client or domain."),
    ("client.no-ptr", r"5\.7\.25|cannot find your (?:reverse )?hostname|ptr record|reverse dns|reverse (?:lookup|hostname)|no (?:rdns|ptr)|rdns", "The address of the sending host has no proper reverse name."),
    ("policy.unauthenticated", r"5\.7\.2[6-9]|5\.7\.30|\b(?:spf|dkim|dmarc)\b", "The sender's domain is not authenticated (SPF, DKIM or DMARC)."),
    ("helo.rejected", r"helo command rejected|ehlo command rejected|invalid helo|bad helo|helo.{0,30}(?:rejected|invalid)", "The name given in HELO is not accepted."),
    ("sender.domain", r"sender address rejected: (?:domain not found|malformed dns)|sender (?:domain|address).{0,40}(?:does not (?:exist|resolve)|domain not found|no (?:mx|a) )|4\.1\.8|5\.1\.8", "The sender's domain cannot be found in the DNS."),
    ("sender.rejected", r"sender (?:address )?(?:rejected|denied|blocked|refused)", "The sender's address is not accepted."),
    ("recipient.domain", r"recipient address rejected: (?:domain not found|malformed dns)|domain (?:of (?:recipient|the )|does not exist)|bad destination (?:mailbox|system) address", "The recipient's domain cannot be found in the DNS."),
    ("greylisted", r"gr[ea]y-?list|try again (?:in|after) \d+ (?:sec|min)|postgrey|come back (?:in|later)|please (?:retry|try) (?:again )?(?:in|after)", "The server asks unknown senders to come back later."),
    ("size.exceeded", r"message size \d+ exceeds|message (?:file )?(?:too (?:big|large)|size exceeds)|exceeds? (?:the )?(?:maximum |fixed )?(?:message )?size|5\.3\.4|552[ -]5\.3\.4|too large", "The message is larger than allowed."),
    ("mailbox.quota", r"quota exceeded|over ?quota|mailbox (?:is )?(?:full|size limit)|[245]\.2\.2|exceeded storage|insufficient (?:disk )?quota|out of storage|not enough (?:storage )?(?:space )?(?:in|for) (?:the )?mailbox|disk quota", "The mailbox is full."),
    ("mailbox.unknown-user", r"user unknown|unknown (?:user|recipient|mailbox|local)|no such (?:user|recipient|mailbox|person|address)|user (?:does not|doesn't) exist|(?:recipient|mailbox|account|user|address)\b.{0,60}(?:not found|does not exist|doesn't exist|unavailable|unknown|invalid|disabled|inactive)|invalid (?:recipient|mailbox)|5\.1\.1\b|5\.1\.10|5\.2\.1\b|5\.5\.0.*mailbox unavailable|not our customer", "There is no such mailbox."),
    ("dnsbl.blocked", r"blocked using|\bdnsbl\b|\brbl\b|spamhaus|barracuda|spamcop|sorbs|block ?list|blacklist|denylist|block list|black list|blocked .{0,30}\b(?:ip|list)|s3140|s3150|banned sending ip|5\.7\.606|5\.7\.511|poor reputation|bad reputation|reputation", "The address of the sending host is on a block list."),
    ("content.rejected", r"spam|virus|malware|phish|message content|content (?:rejected|filter)|5\.7\.[01] message (?:rejected|blocked)|unsolicited|suspicious|prohibited (?:content|attachment)|banned|header (?:checks|syntax)", "The content of the message is not accepted."),
    ("rate-limited", r"too many (?:connections|messages|recipients|mails|emails|errors|concurrent|sessions|requests|auth|new)|rate[ -]?limit|throttl|try (?:again )?later.{0,30}(?:rate|too many)|(?:exceeded|reached).{0,40}(?:rate|limit|quota of|messages)|4\.7\.28|4\.7\.650|4\.7\.651|4\.7\.500|too much mail|deferred due to (?:user|unexpected)|unusual rate|\[ts0\d\]|temporar(?:il)?y? (?:rate|deferred)|slow down", "The server limits how fast or how much it takes."),
    ("access.denied", r"access denied|client host rejected|not allowed to connect|connection (?:refused|rejected|denied).{0,40}(?:policy|access)|\b(?:ip|host|client|address)\b.{0,40}(?:not (?:allowed|authori[sz]ed|permitted)|denied|rejected|blocked)|5\.7\.1\b.{0,60}(?:rejected|denied|refused|not allowed)|administrative(?:ly)? prohibit|policy (?:reasons?|violation|rejection)|refused by policy", "The server does not accept this client or message by policy."),
    ("recipient.rejected", r"recipient address rejected|recipient (?:rejected|denied|refused)", "The recipient's address is not accepted."),
    ("syntax.rejected", r"bad (?:sender|recipient|destination|address)|syntax error|malformed address|need fully-qualified|improper command pipelining|protocol error|bare <?lf|data command rejected|non-ascii|smtputf8", "An address or the dialogue is not proper SMTP."),
    ("lookup.temporary", r"temporary lookup failure|address resolver failure|map lookup (?:problem|error)|alias database lookup|lookup (?:error|failure) for|server configuration (?:error|problem)|aliases? map|user lookup error|(?:local|relay|virtual)[\w ]* table lookup", "A lookup table of the server cannot be used."),
    ("alias-db.unavailable", r"alias database unavailable|alias (?:map|database)", "The alias database cannot be used."),
    ("filter.unavailable", r"service unavailable - try again later|milter|content[- ]filter|scanner|amavis|rspamd|server (?:error|local error) - try again|error in processing", "A mail filter or policy service does not answer."),
    ("disk.full", r"no space left|insufficient system (?:storage|resources)|insufficient (?:disk )?space|not enough (?:free )?space|disk full|4\.3\.1|queue file write error|452[ -]4\.3", "A file system is full."),
    ("transport.deferred", r"^deferred transport", "defer_transports holds back what goes this way."),
    ("transport.unavailable", r"mail transport unavailable|transport (?:is )?unavailable|unknown mail transport|unsupported mail transport|malformed response", "A transport of Postfix is missing or dies."),
    ("local.data-error", r"local data error while talking to|local configuration error|^mail system configuration error", "A lookup table or setting of this host failed while it delivered (the log says which)."),
    ("connect.refused", r"connection refused", "Nothing listens at the other end, or it rejects the connection."),
    ("connect.no-route", r"no route to host", "There is no way to the other host, or a firewall says so."),
    ("connect.prohibited", r"connect to \S+\]:\d+: (?:permission denied|invalid argument|operation not permitted)", "A route, a policy rule or the firewall of this host forbids the connection."),
    ("connect.unreachable", r"network (?:is )?unreachable|address family not supported|cannot assign requested address", "There is no route to the other network (often IPv6)."),
    ("connect.socket-missing", r"\[(?:private|public|/)[^\]]*\]: no such file|socket.{0,30}no such file", "The socket to deliver to does not exist."),
    ("connect.socket-denied", r"\[(?:private|public|/)[^\]]*\]: permission denied", "Postfix may not open the socket to deliver to."),
    ("dns.tryagain", r"host not found, try again|temporary failure in name resolution|(?:servfail|query refused|malformed or unexpected name server reply)|unable to look up host.*try again", "The name server does not answer for a name."),
    ("dns.not-found", r"host or domain name not found|host not found|name or service not known|no address associated|domain not found|unable to look up|name service error|does not resolve|no mx|nullmx|does not accept mail|host found but no data record", "A name does not exist in the DNS."),
    ("connect.lost", r"lost connection with .* while receiving the initial server greeting|refused to talk to me|lost connection with .* while performing the (?:ehlo|helo|lhlo) handshake", "The other server hangs up or refuses before the message is given."),
    ("connect.timeout-data", r"conversation with .* timed out while sending (?:message body|end of data)|timed out while sending (?:message body|end of data)", "The transfer stalls in the message body (a small MTU in between, or a slow scanner)."),
    ("connect.lost-data", r"lost connection with .* while sending", "The connection is lost while the message is given; it may arrive twice."),
    ("connect.timeout", r"connection timed out|timed out|timeout|operation timed out", "The other host does not answer in time."),
    ("connect.lost", r"lost connection|connection (?:reset|lost|closed|dropped)|broken pipe", "The connection is lost."),
    ("local.permission", r"permission denied|not owned by|maildir (?:delivery failed|access problem)|cannot (?:create|open|update|access|append)|can't create|operation not permitted|mailbox.{0,30}(?:lock|permission)|read-only file system|unable to (?:create|lock)", "A mailbox cannot be written on this host."),
    ("local.command", r"command died with|command (?:time limit|timed out)|command output|exited? with|temporary failure\.?", "A delivery command failed."),
    ("mailbox.temporary", r"4\.2\.[01]|mailbox (?:busy|locked|temporarily)|internal error|temporar(?:y|ily)|try (?:again )?later|unavailable|4\.3\.[02]|shutting down|local error|please try|in process", "The other server cannot take the message now."),
    ("sender.rejected", r"in reply to mail from command\)\s*$", "The sender's address is not accepted."),
    ("policy.other", r"5\.7\.|4\.7\.|\b55[034]\b", "The server refuses by a rule of its own."),
)
# fmt: on

MEANINGS: Mapping[str, str] = MappingProxyType(
    {"other": "A reason that maildiag has no class for."} | {name: sentence for name, _, sentence in reversed(_ROWS)}
)

_SUSPENDED = later(r"delivery temporarily suspended: ")
_REMOTE = later(
    r"(?:host|server|connect to|lost connection with|conversation with|talking to|loops? back to|for) "
    r"(?P<host>\[?[\w.:-]+\]?)\[(?P<address>[^\]\s]+)\](?::(?P<port>\d+))?"
)
_NAMED = later(r"\bname=(?P<name>[^\s;,)]+)")
_CODE = later(r"(?:said|me|^|[:;]) ?(?P<code>[245]\d\d)(?:[ -]|$)")
_DSN = later(r"\b(?P<dsn>[245]\.\d{1,3}\.\d{1,3})\b")
_PHASE = later(r"\(in reply to (?P<phase>[^)]+?)(?: command)?\)\s*$")


class Reason(NamedTuple):
    """Why a delivery or a client was refused; empty strings where the text does not say."""

    meaning: str
    text: str
    dsn: str
    host: str
    address: str
    code: str
    phase: str
    suspended: bool

    @property
    def sentence(self) -> str:
        """The meaning in words."""
        return MEANINGS[self.meaning]


@lru_cache(maxsize=16384)
def classify_reason(text: str, dsn: str = "") -> Reason:
    """Return the class and parts of a reason.

    `text` is what stands in the parentheses of a `status=` line, a `delay_reason` of `postqueue -j`, or the reply text
    of a `reject:` line; `dsn` is the line's own `dsn=`, used where the text has none.
    """
    inner, suspended = _SUSPENDED().subn("", text.strip())
    remote = _REMOTE().search(inner)
    named = None if remote else _NAMED().search(inner)
    code = _CODE().search(inner)
    status = _DSN().search(inner, code.start()) if code else None
    phase = _PHASE().search(inner)
    return Reason(
        meaning=_meaning(inner.lower()),
        text=normalise(inner),
        dsn=status["dsn"] if status else dsn,
        host=remote["host"] if remote else named["name"] if named else "",
        address=remote["address"] if remote else "",
        code=code["code"] if code else "",
        phase=phase["phase"] if phase else "",
        suspended=bool(suspended),
    )


def _meaning(lowered: str) -> str:
    return next((name for name, pattern, _ in _ROWS if search(pattern, lowered)), "other")
