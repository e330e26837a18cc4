from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.http_calls.environment import certificates, check_proxies


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize(
    "proxy",
    ["nonsense://me:secret@host", "http://me:secret@host:port", "http://"],
)
def test_an_invalid_proxy_is_refused_by_its_variable(variable, proxy, monkeypatch):
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(InvalidInputError, match=f"^{variable} is not the URL of a proxy") as raised:
        check_proxies()
    assert "secret" not in str(raised.value)


@pytest.mark.skipif(find_spec("socksio") is not None, reason="socksio is installed")
def test_a_proxy_that_needs_a_package_is_refused_with_the_command(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://host:1080")
    with pytest.raises(InvalidInputError, match=r"ALL_PROXY names a SOCKS .* pip install socksio"):
        check_proxies()


@pytest.mark.parametrize("proxy", ["http://me:secret@host:3128", "https://host", "host:3128", ""])
def test_a_valid_proxy_is_taken(proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    check_proxies()


def test_without_proxies_for_any_host_none_is_checked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "nonsense://host")
    monkeypatch.setenv("NO_PROXY", "localhost, *")
    check_proxies()


def test_a_missing_file_of_certificates_is_refused_by_its_variable(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(InvalidInputError, match="SSL_CERT_FILE names no file of certificates"):
        certificates.__wrapped__()
