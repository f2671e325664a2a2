"""Lines that hold a word, found in large blocks of bytes without looking at any other line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from maildiag.logs.source import Source, opened

BLOCK = 1 << 20
LONGEST = 8 << 20  # a line that is longer is cut, so that memory stays bounded
# With more words than this it is cheaper to look at the queue id of every line.
FEW = 4
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")


class Hit(NamedTuple):
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
    if not all(words):
        raise ValueError("an empty word would be found everywhere")
    search = _by_queue_id(words) if len(words) > FEW and not any_case else _by_search(words, any_case)
    for number, source, offset in sources:
        with opened(source, offset) as stream:
            for position, block, begin, stop in _blocks(stream, offset):
                for start, end in search(block, begin, stop):
                    yield Hit(number, position + start, block[start:end])


def _blocks(stream: IO[bytes], offset: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield (offset of the block, block, begin, end): whole lines lie between begin and end.

    Blocks are not put together and cut, as copying them would take as long as searching them; only the line that two
    blocks share is made whole, as a block of its own.
    """
    rest = b""
    while data := stream.read(BLOCK):
        first, cut = data.find(b"\n") + 1, data.rfind(b"\n") + 1
        if not cut and len(rest) < LONGEST:
            rest += data
            offset += len(data)
            continue
        if rest:
            yield offset - len(rest), rest + data[:first], 0, len(rest) + first
        yield offset, data, first if rest else 0, cut
        offset += len(data)
        rest = data[cut:]
    if rest:
        yield offset - len(rest), rest, 0, len(rest)


Search = Callable[[bytes, int, int], Iterable[tuple[int, int]]]


def _by_search(words: frozenset[bytes], any_case: bool) -> Search:
    sought = sorted({word.lower() for word in words} if any_case else words)

    def search(block: bytes, begin: int, stop: int) -> Iterable[tuple[int, int]]:
        text = block.lower() if any_case else block
        found: set[tuple[int, int]] = set()
        for word in sought:
            at = text.find(word, begin, stop)
            while at >= 0:
                end = at + len(word)
                if _whole(text, at, end):
                    newline = text.find(b"\n", at, stop)
                    found.add((max(text.rfind(b"\n", begin, at) + 1, begin), stop if newline < 0 else newline))
                at = text.find(word, end, stop)
        return sorted(found)

    return search


def _whole(text: bytes, start: int, end: int) -> bool:
    """Whether text[start:end] is no part of a longer word."""
    before = start > 0 and text[start - 1] in _WORD and text[start] in _WORD
    after = end < len(text) and text[end] in _WORD and text[end - 1] in _WORD
    return not before and not after


def _by_queue_id(words: frozenset[bytes]) -> Search:
    """Find the lines of many queue ids: `… program[pid]: QUEUEID: text`."""

    def search(block: bytes, begin: int, stop: int) -> Iterable[tuple[int, int]]:
        found, at = [], begin
        for line in block[begin:stop].split(b"\n"):
            parts = line.split(b": ", 2)
            if len(parts) == 3 and parts[1] in words:
                found.append((at, at + len(line)))
            at += len(line) + 1
        return found

    return search
