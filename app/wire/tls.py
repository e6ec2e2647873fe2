"""TLS settings and what a handshake showed.

`make_context` builds an SSLContext once per setting (it costs 34 ms) and keeps it.
`read_facts` tells what was negotiated; it works for an unverified certificate too, and a
certificate that cannot be read leaves its fields empty instead of raising.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509

MAX_SHOWN_NAMES = 20
MAX_NAME_CHARS = 256


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """A finished handshake. san: DNS names and addresses of the certificate, at most 20."""

    version: str
    cipher: str
    subject: str | None = None
    issuer: str | None = None
    not_after: datetime | None = None
    san: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def make_context(verify: bool, ca_pem: str | None) -> ssl.SSLContext:
    """Return the client context for this setting; ca_pem replaces the system's certificates.

    Raises ssl.SSLError or ValueError for a ca_pem that `check_ca_pem` refuses.
    """
    context = ssl.create_default_context(cadata=ca_pem)
    # Python 3.13 turns X509_STRICT on, which refuses the home-made certificates of company
    # relays that 3.12 takes; PARTIAL_CHAIN lets a ca_pem pin a leaf. The same on 3.11 to 3.14.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_ca_pem(pem: str) -> str | None:
    """Say what is wrong with a ca_pem, or None where it can be used."""
    if "PRIVATE KEY" in pem:
        return "this holds a private key; give only certificates"
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
        make_context(True, pem)
    except (ValueError, ssl.SSLError):
        return "this is not a list of PEM certificates"
    return None if certificates else "there is no certificate in it"


def read_facts(connection: ssl.SSLObject | ssl.SSLSocket) -> TlsFacts:
    """Tell version, cipher and the server's certificate of a finished handshake."""
    cipher = connection.cipher()
    version, name = connection.version() or "", cipher[0] if cipher else ""
    der = connection.getpeercert(binary_form=True)
    if der is None:
        return TlsFacts(version, name)
    try:
        certificate = x509.load_der_x509_certificate(der)
        subject = certificate.subject.rfc4514_string()[:MAX_NAME_CHARS]
        issuer = certificate.issuer.rfc4514_string()[:MAX_NAME_CHARS]
        not_after: datetime | None = certificate.not_valid_after_utc.astimezone(UTC)
    except ValueError:
        return TlsFacts(version, name)
    return TlsFacts(version, name, subject, issuer, not_after, _read_names(certificate))


def _read_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return tuple(name[:MAX_NAME_CHARS] for name in (*hosts, *addresses))[:MAX_SHOWN_NAMES]
