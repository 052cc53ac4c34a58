"""Account files: lines of others stay byte for byte, and no secret gets into an error or a repr."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig import accounts
from nodeagent.machineconfig.accounts import Account, ForeignLine
from tests.capabilities import require

PASSWD = b"root:x:0:0:root:/root:/bin/bash\nboot:x:1000:1001:,,,:/home/boot:/bin/sh\nbad:x:-1:0::/:/\nshort:x:1:1\n"
GROUP = b"root:x:0:\nwheel:x:10:boot,root\nodd:x:ten:\n"
SHADOW = b"root:$y$j9T$a$b:19000:0:99999:7:::\r\nboot:!:19001::::::\nlate:*:::::::"
HASH = "$6$rounds=5000$salt$abcDEF./="


def key(number: int, comment: str = "") -> str:
    """A public key as it stands in authorized_keys; its bytes are as good as any."""
    kind = b"ssh-ed25519"
    raw = len(kind).to_bytes(4) + kind + (32).to_bytes(4) + bytes([number]) * 32
    return f"{kind.decode()} {base64.b64encode(raw).decode()} {comment}".rstrip()


KEYS = [key(number, f"user@host{number}") for number in range(6)]
OTHERS = [
    b"",
    b"# a comment",
    b"  " + KEYS[5].encode() + b"\t",
    b"noise \xff \r",
    b"no-pty " + KEYS[4].encode(),
]


def test_users_and_groups_are_found_by_their_whole_name() -> None:
    assert accounts.find_user(PASSWD, "boot") == Account("boot", 1000, 1001, "/home/boot", "/bin/sh")
    assert accounts.find_group(GROUP, "wheel") == 10
    for name in ("boo", "bad", "short", "root:x", "", "x"):
        assert accounts.find_user(PASSWD, name) is None
    for name in ("odd", "whee", "wheel:x"):
        assert accounts.find_group(GROUP, name) is None


def test_a_carriage_return_ends_no_line() -> None:
    assert accounts.find_user(b"a:x:1:1:\rroot:x:0:0::/:/bin/sh\n", "root") is None
    hidden = f"{KEYS[0]} comment\r{KEYS[1]}\n".encode()
    assert accounts.missing_keys(hidden, [KEYS[1]]) == (KEYS[1],)


def test_a_password_and_its_date_change_and_nothing_else() -> None:
    edited = accounts.edit_password(SHADOW, "boot", HASH, 20000)
    assert edited == SHADOW.replace(b"boot:!:19001", f"boot:{HASH}:20000".encode())
    assert accounts.password_of(edited, "boot") == HASH
    assert accounts.edit_password(edited, "boot", HASH, 20001) == edited
    assert accounts.edit_password(SHADOW, "late", "*", 1) == SHADOW
    assert accounts.edit_password(SHADOW, "late", "", 1) == SHADOW.replace(b"late:*::", b"late::1:")


def test_a_password_that_was_replaced_can_be_given_back() -> None:
    edited = accounts.edit_password(SHADOW, "root", HASH, 20000)
    assert accounts.edit_password(edited, "root", "$y$j9T$a$b", 19000) == SHADOW


@pytest.mark.parametrize("broken", ["$6$a:b", "$6$a\nb", "$6$\0", "$6$é", "$6$a b", "$6$\udc80", "$6$a\n"])
def test_what_is_no_hash_is_refused_without_showing_it(broken: str) -> None:
    with pytest.raises(ValueError, match="characters that no crypt") as caught:
        accounts.edit_password(SHADOW, "boot", broken, 20000)
    assert "$6$" not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_password_of_nobody_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="no line for 'ghost'") as caught:
        accounts.edit_password(SHADOW, "ghost", HASH, 20000)
    assert HASH not in repr(caught.value)
    assert accounts.password_of(SHADOW, "ghost") is None


some_keys = st.lists(st.sampled_from(KEYS), unique=True, max_size=4)
foreign = st.lists(st.sampled_from(OTHERS), max_size=4)


@given(foreign, st.booleans(), some_keys, some_keys)
def test_keys_come_and_go_and_lines_of_others_stay(
    others: list[bytes], ended: bool, first: list[str], second: list[str]
) -> None:
    existing = b"\n".join(others) + (b"\n" if ended and others else b"")
    applied = accounts.merge_keys(existing, (), first)
    assert accounts.merge_keys(applied, first, first) == applied
    assert accounts.missing_keys(applied, first) == ()
    assert applied.startswith(existing)
    changed = accounts.merge_keys(applied, first, second)
    assert accounts.missing_keys(changed, second) == ()
    restored = accounts.merge_keys(changed, second, ())
    assert restored in (existing, existing + b"\n")
    assert restored == existing or not existing.endswith(b"\n")


@given(st.binary(max_size=60))
def test_any_bytes_pass_through_where_nothing_is_wanted(noise: bytes) -> None:
    assert accounts.merge_keys(noise, KEYS, ()) == noise
    assert accounts.merge_keys(noise, (), KEYS[:1]).startswith(noise)
    for line in accounts.foreign_lines(noise, ()):
        assert line.comment.isprintable()


def test_a_line_is_ours_only_exactly_as_we_wrote_it() -> None:
    dressed = f"  {KEYS[0]}\nno-pty {KEYS[0]}\n{KEYS[0]}\n".encode()
    assert accounts.merge_keys(dressed, KEYS[:1], ()) == f"  {KEYS[0]}\nno-pty {KEYS[0]}\n".encode()
    assert accounts.merge_keys(b"  " + KEYS[0].encode(), (), KEYS[:1]) == b"  " + KEYS[0].encode()


def test_a_wanted_key_is_written_once() -> None:
    assert accounts.merge_keys(b"", (), [KEYS[0], f" {KEYS[0]} "]) == f"{KEYS[0]}\n".encode()


def test_foreign_lines_are_told_by_number_fingerprint_and_comment() -> None:
    eve = key(7, "eve  at \x1b[31m home")
    text = f"# note\n\n{KEYS[0]}\n{eve}\nnot a key at all\n".encode()
    found = accounts.foreign_lines(text, KEYS[:1])
    assert found == (
        ForeignLine(4, accounts.fingerprint(eve), "eve at [31m home"),
        ForeignLine(5, "not a key", ""),
    )
    assert eve.split()[1] not in repr(found)


@pytest.mark.parametrize("blob", ["AAAA", "A", "====", "AAAAC3NzaC1lZDI1NTE5!", base64.b64encode(b"ssh-rsa").decode()])
def test_what_only_looks_like_a_key_is_none(blob: str) -> None:
    assert accounts.fingerprint(f"ssh-ed25519 {blob}") == "not a key"


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_fingerprints_are_those_of_ssh_keygen(kind: str, tmp_path: Path) -> None:
    require("ssh-keygen")
    path = str(tmp_path / "id")
    for command in (["-q", "-t", kind, "-N", "", "-C", "a comment", "-f", path], ["-l", "-f", f"{path}.pub"]):
        done = subprocess.run(["ssh-keygen", *command], capture_output=True, text=True, timeout=60, check=True)
    public = Path(f"{path}.pub").read_text().strip()
    options = 'environment="A=b ssh-ed25519 c",command="ssh-rsa AAAA" '
    for line in (public, options + public):
        (found,) = accounts.foreign_lines(line.encode(), ())
        assert (found.fingerprint, found.comment) == (done.stdout.split()[1], "a comment")
