"""Who may use a file is judged by its access ACL too, as the kernel does (acl(5))."""

import dataclasses
import json

import pytest

from maildiag.access import READ, SEARCH, WRITE, allows, let_group, mode_for, shown
from maildiag.codec import decode, encode
from maildiag.hosts.files import access_acl
from maildiag.probes import AclTag
from maildiag.testing import info

# chmod 640 f; setfacl -m u:mail:rwx,g:man:r,m::r f (Debian 12, ext4): user 8 is mail, group 12 is man.
RECORDED = bytes.fromhex(
    "0200000001000600ffffffff020007000800000004000400ffffffff080004000c00000010000400ffffffff20000000ffffffff"
)
FILE = dataclasses.replace(info("/f", mode=0o640), acl=access_acl(RECORDED))


@pytest.mark.parametrize(
    ("user", "groups", "wanted", "may"),
    [
        pytest.param("mail", (), READ, True, id="a named user has what the mask leaves"),
        pytest.param("mail", (), READ | WRITE, False, id="the mask takes away"),
        pytest.param("nobody", ("man",), READ, True, id="a named group"),
        pytest.param("nobody", ("root",), READ, True, id="the owning group"),
        pytest.param("nobody", ("root", "man"), WRITE, False, id="no group has it"),
        pytest.param("nobody", (), READ, False, id="everybody else"),
        pytest.param("root", (), READ | WRITE, True, id="root may"),
    ],
)
def test_the_acl_decides_where_there_is_one(user: str, groups: tuple[str, ...], wanted: int, may: bool) -> None:
    assert allows(FILE, wanted, user, groups) is may


def test_the_owner_is_judged_by_the_mode_alone() -> None:
    owned = dataclasses.replace(FILE, owner="mail")
    assert allows(owned, READ | WRITE, "mail", ())
    assert not allows(owned, SEARCH, "mail", ())


def test_the_group_bits_of_the_mode_are_the_mask_and_not_the_groups_own() -> None:
    entries = tuple(
        dataclasses.replace(each, bits=0) if each.tag is AclTag.OWNING_GROUP else each for each in access_acl(RECORDED)
    )
    assert not allows(dataclasses.replace(FILE, acl=entries), READ, "nobody", ("root",))


def test_the_mode_as_an_account_meets_it_counts_owner_group_and_acl() -> None:
    assert mode_for(FILE, "mail", ()) == 0o644
    assert mode_for(FILE, "nobody", ()) == 0o640
    assert mode_for(info("/f", mode=0o750), "nobody", ("root",)) == 0o755


def test_chmod_gives_a_group_nothing_where_there_is_an_acl() -> None:
    assert let_group(FILE, "postfix", READ) == (("setfacl", "-m", "g:postfix:r", "/f"),)
    assert let_group(info("/f"), "postfix", SEARCH) == (("chgrp", "postfix", "/f"), ("chmod", "g+x", "/f"))


def test_an_acl_goes_through_json_and_none_leaves_no_trace_there() -> None:
    assert decode(json.loads(json.dumps(encode(FILE)))) == FILE
    assert "acl" not in encode(info("/f"))


def test_an_acl_is_shown_as_ls_does() -> None:
    assert shown(FILE) == "0640+ root:root /f"


@pytest.mark.parametrize("data", [b"", RECORDED[:-1], b"\3" + RECORDED[1:]])
def test_what_is_no_acl_of_version_two_tells_nothing(data: bytes) -> None:
    assert access_acl(data) == ()
