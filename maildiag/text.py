"""Text from the outside made harmless for a terminal, a report and a reader."""

from __future__ import annotations

import re

# One table for str.translate-like replacement: control characters become visible escapes, so that a log line can be
# shown without being executed by the terminal (OSC 52 in an SMTP banner overwrites the clipboard).
_SHOWN = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}
_SHOWN[9] = "    "
_NEED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHOWN.get(code) or f"\\u{code:04x}"


def safe(text: str, limit: int = 4096) -> str:
    """Return `text` with control, bidirectional and unpaired characters spelled out, cut to `limit` characters."""
    if len(text) > limit:
        text = f"{text[:limit]} …(+{len(text) - limit})"
    return _NEED.sub(_shown, text) if _NEED.search(text) else text
