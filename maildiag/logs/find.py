"""Lines that hold a word, found in large blocks of bytes without looking at any other line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from maildiag.logs.source import Source, opened

BLOCK = 1 << 20
# With more words than this it is cheaper to look at the queue id of every line.
FEW = 4
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that was found: which source, the byte offset of the line in it, and the line without its end."""

    source: int
    offset: int
    line: bytes


def find(
    sources: Iterable[tuple[int, Source, int]], words: frozenset[bytes], *, any_case: bool = False
) -> Iterator[Hit]:
    """Yield every line that holds one of `words` as a whole word, once; `sources` are (number, source, from offset).

    `any_case` compares letters without case, for addresses. Raises SourceError or OSError like `opened`.
    """
    search = _by_queue_id(words) if len(words) > FEW and not any_case else _by_search(words, any_case)
    for number, source, offset in sources:
        with opened(source, offset) as stream:
            for position, block in _blocks(stream, offset):
                for start, end in search(block):
                    yield Hit(number, position + start, bytes(block[start:end]))


def _blocks(stream: IO[bytes], offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, whole lines)."""
    rest = b""
    while data := stream.read(BLOCK):
        block = rest + data if rest else data
        cut = block.rfind(b"\n") + 1
        if not cut and len(block) < 8 * BLOCK:
            rest = block
            continue
        cut = cut or len(block)
        yield offset, block if cut == len(block) else block[:cut]
        offset += cut
        rest = block[cut:]
    if rest:
        yield offset, rest


Search = Callable[[bytes], Iterable[tuple[int, int]]]


def _by_search(words: frozenset[bytes], any_case: bool) -> Search:
    sought = sorted({word.lower() for word in words} if any_case else words)

    def search(block: bytes) -> Iterable[tuple[int, int]]:
        text = block.lower() if any_case else block
        found: set[tuple[int, int]] = set()
        for word in sought:
            at = text.find(word)
            while at >= 0:
                end = at + len(word)
                if _whole(text, at, end):
                    start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
                    end = len(text) if end < 0 else end
                    found.add((start, end))
                at = text.find(word, end)
        return sorted(found)

    return search


def _whole(text: bytes, start: int, end: int) -> bool:
    """Whether text[start:end] is no part of a longer word."""
    before = start > 0 and text[start - 1] in _WORD and text[start] in _WORD
    after = end < len(text) and text[end] in _WORD and text[end - 1] in _WORD
    return not before and not after


def _by_queue_id(words: frozenset[bytes]) -> Search:
    """Find the lines of many queue ids: `… program[pid]: QUEUEID: text`."""

    def search(block: bytes) -> Iterable[tuple[int, int]]:
        found, at = [], 0
        for line in block.split(b"\n"):
            parts = line.split(b": ", 2)
            if len(parts) == 3 and parts[1] in words:
                found.append((at, at + len(line)))
            at += len(line) + 1
        return found

    return search
