"""Values of main.cf parameters: what form a parameter has, what Postfix says of a value that has another, what was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum


class Form(StrEnum):
    """What a value must look like, told from the default (postconf -dx)."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    TIME = "time"
    TEXT = "text"


# Numbers and words by their look, strings by what Postfix does with them (mail_conf_str(3)).
_STRINGS = re.compile(
    r"compatibility_level|mail_version|mail_release_date|milter_protocol|maillog_file_permissions|process_id|stress"
    r"|.*_loglevel|.*_tcp_port|.*_feedback|smtpd_forbid_bare_newline|.*_fix_line_endings"
)
_COMMENT = re.compile(r"(?:^|\s)#")
_TIME_UNITS = {
    "s": "s",
    "sec": "s",
    "m": "m",
    "min": "m",
    "h": "h",
    "hour": "h",
    "d": "d",
    "day": "d",
    "w": "w",
    "week": "w",
}
_YES = {"true", "on", "1", "y", "enable", "enabled", "ja", "oui", "t"}
_NO = {"false", "off", "0", "n", "disable", "disabled", "none", "nein", "f"}

_TLS_CLIENT = ("", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")
_CIPHERS = ("export", "low", "medium", "high", "null")
_SASL_OPTIONS = ("noplaintext", "noactive", "nodictionary", "noanonymous", "mutual_auth", "forward_secrecy")
_CLASSES = ("envelope_sender", "envelope_recipient", "header_sender", "header_recipient")

WORDS: Mapping[str, tuple[str, ...]] = {
    "inet_protocols": ("all", "ipv4", "ipv6"),
    "smtpd_tls_security_level": ("", "none", "may", "encrypt"),
    "smtp_tls_security_level": _TLS_CLIENT,
    "lmtp_tls_security_level": _TLS_CLIENT,
    "smtpd_tls_ciphers": _CIPHERS,
    "smtp_tls_ciphers": _CIPHERS,
    "smtpd_tls_mandatory_ciphers": _CIPHERS,
    "smtp_tls_mandatory_ciphers": _CIPHERS,
    "smtpd_sasl_type": ("dovecot", "cyrus"),
    "smtp_sasl_type": ("cyrus",),
    "smtp_host_lookup": ("dns", "native"),
    "lmtp_host_lookup": ("dns", "native"),
    "smtp_dns_support_level": ("", "disabled", "enabled", "dnssec"),
    "smtp_address_preference": ("any", "ipv4", "ipv6"),
    "milter_default_action": ("accept", "reject", "tempfail", "quarantine", "shutdown"),
    "mynetworks_style": ("host", "subnet", "class"),
    "smtpd_forbid_bare_newline": ("yes", "no", "normalize", "note", "reject"),
    "smtp_sasl_security_options": ("", *_SASL_OPTIONS),
    "smtp_sasl_tls_security_options": ("", *_SASL_OPTIONS),
    "smtpd_sasl_security_options": ("", *_SASL_OPTIONS),
    "smtpd_sasl_tls_security_options": ("", *_SASL_OPTIONS),
    "notify_classes": ("", "bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"),
    "mailbox_delivery_lock": ("fcntl", "flock", "dotlock"),
    "virtual_mailbox_lock": ("fcntl", "flock", "dotlock"),
    "canonical_classes": _CLASSES,
    "sender_canonical_classes": _CLASSES,
    "recipient_canonical_classes": _CLASSES,
}
"""The words that a parameter takes, one or several of them; "" where it may be empty. Source: postconf(5)."""

MINIMUM: Mapping[str, int] = {
    "smtpd_recipient_limit": 1,
    "smtpd_junk_command_limit": 1,
    "smtpd_hard_error_limit": 1,
    "smtpd_soft_error_limit": 1,
    "smtpd_history_flush_threshold": 1,
    "default_process_limit": 1,
    "qmgr_message_active_limit": 1,
    "qmgr_message_recipient_limit": 1,
    "hash_queue_depth": 1,
    "line_length_limit": 512,
    "header_size_limit": 1,
    "fork_attempts": 1,
    "deliver_lock_attempts": 1,
    "default_extra_recipient_limit": 0,
    "smtpd_client_ipv4_prefix_length": 0,
}
"""The least value of a number where it is not 0; below it the program stops with `invalid … parameter value`."""


def form_of(name: str, default: str) -> Form:
    """The form of a parameter, from its default with all `$names` expanded."""
    if _STRINGS.fullmatch(name):
        return Form.TEXT
    if default in ("yes", "no"):
        return Form.BOOLEAN
    if re.fullmatch(r"-?\d+", default):
        return Form.NUMBER
    if re.fullmatch(r"\d+[smhdw]", default):
        return Form.TIME
    return Form.TEXT


def complaint(name: str, form: Form, value: str) -> str:
    """What Postfix says as it stops over this value (get_mail_conf_int(3) and its kin), or "" where it takes it."""
    match form:
        case Form.BOOLEAN:
            if value.lower() not in ("yes", "no"):
                return f"fatal: bad boolean configuration: {name} = {value}"
        case Form.NUMBER:
            return _number_complaint(name, value)
        case Form.TIME:
            if not re.fullmatch(r"[+-]?\d+[smhdw]?", value, re.IGNORECASE):
                return f"fatal: parameter {name}: bad time value or unit: {value}"
            if name == "daemon_timeout" and re.fullmatch(r"[012]s?", value, re.IGNORECASE):
                return f"panic: watchdog_create: timeout {value[0]} is too small"
        case Form.TEXT:
            return ""
    return ""


def _number_complaint(name: str, value: str) -> str:
    if not re.fullmatch(r"[+-]?\d+", value) or abs(int(value)) >= 1 << 63:
        return f"fatal: bad numerical configuration: {name} = {value}"
    least = MINIMUM.get(name, 0)
    if int(value) < least:
        return f"fatal: invalid {name} parameter value {value} < {least}"
    return ""


def wrong_words(name: str, value: str) -> tuple[str, ...]:
    """The words of a value that the parameter does not take; nothing where its words are not known here."""
    allowed = WORDS.get(name)
    if allowed is None or "#" in value:
        return ()
    words = [word for word in re.split(r"[,:\s]+" if name == "notify_classes" else r"[,\s]+", value) if word]
    return tuple(word for word in words or [""] if word.lower() not in allowed)


def without_comment(value: str) -> str:
    """The value as its author meant it: what stands before a `#` behind a blank, on each line."""
    return _COMMENT.split(value, maxsplit=1)[0].strip()


def has_comment(value: str) -> bool:
    """True for a `#` at the start of a word: Postfix takes it for a part of the value."""
    return _COMMENT.search(value) is not None


def meant(form: Form, value: str) -> str:
    """The value in its right form where there can be no doubt what was meant, or ""."""
    value = without_comment(value).strip("\"'; ")
    match form:
        case Form.BOOLEAN:
            word = value.lower()
            return "yes" if word in _YES | {"yes"} else "no" if word in _NO | {"no"} else ""
        case Form.NUMBER:
            return _meant_number(value)
        case Form.TIME:
            return _meant_time(value)
        case Form.TEXT:
            return value


def _meant_number(value: str) -> str:
    plain = re.sub(r"(?<=\d)[ _.,'](?=\d{3})", "", value)
    match = re.fullmatch(r"(\d+)\s*(?:([kmg])i?b?|b|bytes?)?", plain, re.IGNORECASE)
    if not match:
        return ""
    unit = (match[2] or "").lower()
    return str(int(match[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[unit])


def _meant_time(value: str) -> str:
    match = re.fullmatch(r"(\d+)\s*([a-z]*?)s?", value, re.IGNORECASE)
    if not match:
        return ""
    unit = _TIME_UNITS.get(match[2].lower() or "s", "")
    return f"{match[1]}{unit}" if unit else ""
