"""Words for people: lines that are broken where a terminal ends, and numbers as they are read."""

from __future__ import annotations

from maildiag.history import amount
from maildiag.text import hung


def test_a_long_line_is_broken_and_hung_beneath_its_beginning() -> None:
    line = "  15:46:06  sent  " + " ".join(f"word-{number}" for number in range(30)) + " " + "x" * 100
    broken = hung(line, 80, 6)
    assert max(map(len, broken.split("\n"))) <= 80
    assert broken.startswith("  15:46:06  sent  word-0 ")
    assert all(each.startswith(" " * 6) for each in broken.split("\n")[1:])
    assert "".join(broken.split()) == "".join(line.split())


def test_a_line_that_fits_or_is_piped_stays_as_it_is() -> None:
    assert hung("  two   blanks stay", 80, 4) == "  two   blanks stay"
    assert hung("x" * 200, 0, 4) == "x" * 200


def test_bytes_are_told_in_their_unit_and_counts_whole() -> None:
    assert amount("mail_store_bytes", 21 * 1024**3) == "21.00 GiB"
    assert amount("mail_store_bytes", 17 * 1024**2) == "17.0 MiB"
    assert amount("queue_messages", 1_284_567.0) == "1,284,567"
