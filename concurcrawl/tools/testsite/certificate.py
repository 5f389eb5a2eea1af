"""A self-signed certificate, made at the start and deleted at the end."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable


def self_signed_context(hosts: Iterable[str]) -> ssl.SSLContext:
    """Return a server's TLS settings with a new certificate for *hosts*."""
    pem = b"".join(self_signed(hosts))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # ssl reads certificates from files only; this folder is its owner's alone.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "testsite.pem"
        file.write_bytes(pem)
        context.load_cert_chain(file)
    return context


def self_signed(hosts: Iterable[str]) -> tuple[bytes, bytes]:
    """Return a new key and its certificate for *hosts*, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret, _certificate(key, hosts).public_bytes(serialization.Encoding.PEM)


def _certificate(
    key: ec.EllipticCurvePrivateKey, hosts: Iterable[str]
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "concurcrawl testsite")])
    now = datetime.now(UTC)
    names = {
        _general_name(known) for known in (*hosts, "localhost", "127.0.0.1", "::1")
    }
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
