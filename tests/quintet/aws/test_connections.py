"""Connections over TLS: the certificate is checked against the name of the address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from tests.kits.tls import certificate, receiving_tls

from quintet.aws import connections
from quintet.aws.client import AwsClient
from quintet.errors import Transient

UNTRUSTED = r"did not answer \(SSLCertVerificationError\)$"


@pytest.fixture
def pem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The certificate of a server called localhost, which OpenSSL trusts for a while."""
    found = certificate(tmp_path, x509.DNSName("localhost"))
    monkeypatch.setenv("SSL_CERT_FILE", str(found))
    connections._tls.cache_clear()
    yield found
    connections._tls.cache_clear()


def client_of(url: str) -> AwsClient:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": url}
    return AwsClient("sqs", environ=environ, attempts=1)


def test_a_request_over_tls_carries_the_name(pem: Path) -> None:
    names: list[str | None] = []
    with receiving_tls(pem, names) as port:
        assert client_of(f"https://localhost:{port}").request("POST", "/").status == 204
    assert names == ["localhost"]


def test_a_certificate_of_another_name_is_refused(pem: Path) -> None:
    with receiving_tls(pem, []) as port, pytest.raises(Transient, match=UNTRUSTED):
        client_of(f"https://127.0.0.1:{port}").request("POST", "/")


def test_a_certificate_that_nobody_vouches_for_is_refused(
    pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with receiving_tls(pem, []) as port, pytest.raises(Transient, match=UNTRUSTED):
        client_of(f"https://localhost:{port}").request("POST", "/")
