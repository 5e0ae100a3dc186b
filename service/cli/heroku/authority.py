"""A certificate authority that lives in memory, good for a few named hosts and believed by one child alone.

Its key is never written anywhere and ends with the process; its certificate itself says for which hosts it is good, so
that even who keeps it is told of no other host by it.
"""

import secrets
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LASTS: Final = timedelta(days=30)
"""A shell may stay open for long; what is believed it is only by what that shell starts."""
_EARLIER: Final = timedelta(minutes=5)
_SIGNING: Final = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What vouches for certificates; `pem` is what to believe it by."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def make(cls, hosts: Iterable[str], *, now: datetime) -> Self:
        """Make one that can vouch for these hosts and for 127.0.0.1, and for nothing else."""
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("Towpath, for one command")
        permitted = [*map(x509.DNSName, hosts), x509.IPAddress(IPv4Network("127.0.0.1/32"))]
        made = (
            _begun(name, key, now)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.NameConstraints(permitted, excluded_subtrees=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **_SIGNING), critical=True
            )
        )
        return cls(certificate=made.sign(key, hashes.SHA256()), key=key)

    @property
    def pem(self) -> bytes:
        """The certificate, as programs take it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def context(self, hosts: Iterable[str], *, place: Path, now: datetime) -> ssl.SSLContext:
        """Serve TLS as these hosts and as 127.0.0.1. `place` is a directory of ours: ssl reads keys from files only.

        What lies there for a moment is sealed with a password that is written nowhere.
        """
        key, password = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(32).hex()
        sealed = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
        file = place / "front.pem"
        file.touch(mode=0o600)
        try:
            file.write_bytes(sealed + self._issue(key, hosts, now).public_bytes(serialization.Encoding.PEM))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file, password=password)
        finally:
            file.unlink()
        return context

    def _issue(self, key: ec.EllipticCurvePrivateKey, hosts: Iterable[str], now: datetime) -> x509.Certificate:
        names = [*map(x509.DNSName, hosts), x509.IPAddress(IPv4Address("127.0.0.1"))]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return (
            _begun(_name("Towpath"), key, now)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **_SIGNING), critical=True
            )
            .add_extension(usage, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.CertificateBuilder:
    """What every certificate of ours says."""
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + LASTS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
