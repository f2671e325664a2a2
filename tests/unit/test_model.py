"""The gaps that say "it is not there", and those that leave it open."""

from __future__ import annotations

import pytest

from maildiag.model import Gap, GapReason, is_absent, is_unseen


@pytest.mark.parametrize("reason", GapReason)
def test_every_gap_either_says_that_nothing_is_there_or_leaves_it_open(reason: GapReason) -> None:
    gap = Gap(reason, "why")
    assert (is_absent(gap), is_unseen(gap)) == (reason is GapReason.ABSENT, reason is not GapReason.ABSENT)


@pytest.mark.parametrize("answer", ["text", None])
def test_an_answer_is_neither_absent_nor_unseen(answer: object) -> None:
    assert not is_absent(answer)
    assert not is_unseen(answer)
