"""TLS: people by client certificates, tokens on any connection, and nobody by a certificate of somebody else's authority."""

from __future__ import annotations

import http.client
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from door_stage import asked, token, write_keys
from gate_stage import GateStage
from serve_stage import serving

NOW = datetime.now(UTC)


class Authority:
    """Issues certificates for a day."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.issue(name, self.key)

    def issue(self, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[Path, Path]:
        """Write certificate and private key of `name`."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, word)]) for word in (name, self.name))
        builder = x509.CertificateBuilder(issuer, subject, own.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(NOW - timedelta(hours=1)).not_valid_after(NOW + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=key is not None, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = builder.add_extension(issuer_id, critical=False).sign(self.key, SHA256())
        files = self.folder / f"{self.name}-{name}.pem", self.folder / f"{self.name}-{name}.key"
        files[0].write_bytes(made.public_bytes(Encoding.PEM))
        files[1].write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


class Town:
    """A home that is served over TLS, its authority, and another one."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.other = Authority(folder, "ours"), Authority(folder, "other")
        certificate, key = self.ours.issue("localhost")
        settings = [
            "[serve]",
            f'certificate = "{certificate}"',
            f'private_key = "{key}"',
            f'client_ca = "{folder / "ours-ours.pem"}"',
            'issuer = "https://idp.example"',
            'audience = "custodes"',
            'keys = "issuer.json"',
        ]
        self.stage = GateStage.built(folder, "\n".join(["", *settings, ""]))
        write_keys(folder / "home")
        self.home = folder / "home"
        self.stage.home.close()
        self.trusted = str(folder / "ours-ours.pem")

    def post(self, url: str, files: tuple[Path, Path] | None, bearer: str = "") -> int:
        """Return the status of an evaluation."""
        context = ssl.create_default_context(cafile=self.trusted)
        if files is not None:
            context.load_cert_chain(*files)
        connection = http.client.HTTPSConnection("localhost", int(url.rpartition(":")[2]), timeout=30, context=context)
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            connection.request("POST", "/access/v1/evaluation", json.dumps(asked()).encode(), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


def test_certificates_and_tokens_identify_over_tls_and_two_that_differ_do_not(tmp_path: Path) -> None:
    town = Town(tmp_path)
    dora, stranger = town.ours.issue("dora"), town.other.issue("dora")
    with serving(town.home) as (_, url):
        assert url.startswith("https://127.0.0.1:")
        assert town.post(url, dora) == 200
        assert town.post(url, None) == 401
        assert town.post(url, None, token("dora")) == 200
        assert town.post(url, dora, token("dora")) == 200
        assert town.post(url, dora, token("finn")) == 401
        with pytest.raises((ssl.SSLError, ConnectionError)):
            town.post(url, stranger)
        plain = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=10)
        plain.request("GET", "/health")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        plain.close()
    whats = [leaf.what for leaf in _leaves(town)]
    by = [what["who"] for what in whats if what.get("act") == "evaluated"]
    assert by == [town.stage.home.pseudonyms.once("actor", "dora")] * 3


def _leaves(town: Town) -> list:  # type: ignore[type-arg]  # leaves
    from custodes.home import Home

    with Home.open(town.home) as home:
        return home.own_leaves()
