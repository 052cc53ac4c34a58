"""Command lines keep what tells programs apart and lose what is secret."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.host.redaction import MAX_LENGTH, command_line, field, printable, text

_secrets = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=12, max_size=40)  # in none of the words around
_WAYS = [
    ["tool", "--password={}"],
    ["tool", "--db-password", "{}"],
    ["tool", "--token={}", "file"],
    ["tool", "-token", "{}"],
    ["tool", "--api-key={}"],
    ["tool", "secret:{}"],
    ["env", "PGPASSWORD={}", "psql"],
    ["env", "AWS_SECRET_ACCESS_KEY={}", "aws"],
    ["env", "DB_PASS={}", "app"],
    ["curl", "-u", "admin:{}", "https://example.test/"],
    ["curl", "-uadmin:{}", "https://example.test/"],
    ["curl", "https://admin:{}@example.test/"],
    ["curl", "-H", "Authorization: Bearer {}"],
    ["curl", "-H", "authorization: {}"],
    ["curl", "-H", "X-Auth-Token: {}"],
    ["curl", "-d", '{{"password": "{}", "user": "x"}}'],
    ["/usr/bin/mysql", "-p{}"],
    ["sshpass", "-p", "{}", "ssh", "host"],
    ["sh", "-c", "mount -o password={} //host/share /mnt"],
    ["sh", "-c", "login --password {} && true"],
    ["sh", "-c", "TOKEN='{}' run"],
    ["sh", "-c", 'key = "{}"'],
]


@given(secret=_secrets, way=st.sampled_from(_WAYS))
def test_what_follows_a_word_for_a_secret_is_hidden(secret: str, way: list[str]) -> None:
    shown = command_line([part.format(secret) for part in way])
    assert secret not in shown
    assert "***" in shown
    assert shown.startswith(way[0])


@pytest.mark.parametrize(
    "arguments",
    [
        ["vim", "/etc/chrony/chrony.conf"],
        ["sed", "-i", "s/a/b/", "/etc/ssh/sshd_config"],
        ["bash", "-c", "echo hello > /etc/motd"],
        ["passwd", "boot"],
        ["sysctl", "-w", "net.ipv4.ip_forward=1"],
        ["mysql", "--user=app", "shop"],
        ["curl", "https://example.test:8443/x@y"],
        ["git", "commit", "--author=A <a@b>"],
    ],
)
def test_other_arguments_stay_as_they_are(arguments: list[str]) -> None:
    assert command_line(arguments) == " ".join(arguments)


def test_the_values_around_a_secret_stay() -> None:
    line = command_line(["tool", "--user", "app", "--password", "x y", "--port", "1"])
    assert line == "tool --user app --password *** --port 1"


def test_no_arguments() -> None:
    assert command_line([]) == ""
    assert command_line([""]) == ""


@given(st.lists(st.text(), max_size=20))
def test_a_line_is_short_and_printable(arguments: list[str]) -> None:
    line = command_line(arguments)
    assert len(line) <= MAX_LENGTH
    assert line.isprintable()


@given(st.text())
def test_printable_keeps_what_is_printable(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert all(new == old or not old.isprintable() for old, new in zip(text, shown, strict=True))


@pytest.mark.parametrize("filler", ["a", "key", "-key", "key=", "pass ", "://a:", "'", "\\", '"', "authorization:"])
def test_no_command_line_makes_it_slow(filler: str) -> None:
    hostile = (filler * 4096)[:4096] + "!"
    before = time.process_time()
    command_line(["x", hostile])
    assert time.process_time() - before < 0.5  # quadratic searches took many seconds


@given(secret=_secrets)
def test_what_is_a_secret_by_its_form_is_hidden_in_any_text(secret: str) -> None:
    for form in (
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\n{}",
        "hash $6$salt${} of boot",
        "hash $y$j9T$abc${}",
        "source data:,{}",
        "source data:text/plain;base64,{}== is wrong",
        "Authorization: Bearer {}",
        "login failed: password={}",
    ):
        assert secret not in text(f"before {form.format(secret)} after")


def test_ordinary_text_stays_whole_on_one_line() -> None:
    line = "applied render-worker-0123456789abcdef0123456789abcdef: /etc/a (12 changes) " * 10
    assert text(line) == line
    assert text("one\ntwo") == "one�two"
    assert text("sha256 " + "0" * 64) == "sha256 ***"


def test_a_field_that_names_a_secret_is_hidden_but_not_where_that_lies() -> None:
    assert field("apiToken", "abc") == "***"
    assert field("password", "") == ""
    assert field("tls_key", "/etc/x/tls.key") == "/etc/x/tls.key"
    assert field("reason", "all is well") == "all is well"
