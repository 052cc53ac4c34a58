"""URLs are valid where Go's net/url and Ignition say so. The tables were checked against the reference, v2.23."""

from __future__ import annotations

import pytest

from nodeagent.machineconfig.ignition.url import check, parse

ACCEPTED = [
    "https://example.com/a%20b?x=%zz#frag",
    "https://user:pw@host.example:443/a",
    "HTTPS://example.com",
    "http:opaque%zz",
    "https:///no-host",
    "https://host:/x",
    "http://[fe80::1%25eth0]:80/x",
    "http://b%C3%BCcher/x",
    "tftp://host/x",
    "gs://bucket/object",
    "s3://bucket/key",
    "s3://bucket/key?versionId=abc",
    "arn:aws:s3:::bucket/key",
    "arn:aws:s3:us-west-1:123456789012:accesspoint/x/object/y?versionId=1",
    "data:,x",
]
REFUSED = [
    "",
    "hello",
    "/etc/passwd",
    ":x",
    "1http://x",
    "ftp://host/x",
    "oem:///x",
    "socks5://x",
    "https://exa mple/x",
    "https://host/%zz",
    "https://host/x#%zz",
    "https://host:port/x",
    "https://us er@host/x",
    "https://a:b:1/x",
    "https://ho[st/x",
    "https://[fe80::zz]/x",
    "https://[fe80::1/x",
    "https://[1:2]/x",
    "https://host/new\nline",
    "https://host/\x7f",
    "s3://bucket/key?versionId=",
    "arn:aws:s3:::bucket",
    "arn:aws:ec2:::bucket/key",
    "arn:aws:s3:us:1:accesspoint/x",
    "arn:short",
    "DATA:,x",
    "data:;base64,aGVs\nbG8=",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|ARN"):
        check(text)


def test_parts() -> None:
    url = parse("ARN:aws:s3:::b/k?versionId=1#f")
    assert (url.scheme, url.opaque, url.query) == ("arn", "aws:s3:::b/k", "versionId=1")


def test_errors_do_not_quote_the_url() -> None:
    with pytest.raises(ValueError, match="user information") as caught:
        check("https://us er:topsecret@host/x")
    assert "topsecret" not in str(caught.value)
