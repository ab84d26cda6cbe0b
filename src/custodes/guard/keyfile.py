"""An approver's private key in a file: Ed25519, PKCS#8, sealed with a passphrase. It never leaves the memory of one command."""

from __future__ import annotations

from custodes.errors import ConfigError, MissingSecret

LEAST_PASSPHRASE = 12
_MOST_PASSPHRASE = 1000
"""Bytes; OpenSSL takes few more."""


def generate(passphrase: bytes) -> tuple[bytes, bytes]:
    """Return a fresh key as the bytes of its file, and the public key (32 bytes). Raises `ConfigError` for a short passphrase."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    if len(passphrase) < LEAST_PASSPHRASE:
        raise ConfigError(f"a passphrase has {LEAST_PASSPHRASE} or more characters")
    if len(passphrase) > _MOST_PASSPHRASE or not passphrase.decode(errors="replace").isprintable():
        raise ConfigError(f"a passphrase is one line of letters that can be typed, at most {_MOST_PASSPHRASE} bytes")
    key = Ed25519PrivateKey.generate()
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    return sealed, key.public_key().public_bytes_raw()


def unseal(content: bytes, passphrase: bytes) -> tuple[bytes, bytes]:
    """Return seed and public key (32 bytes each) from a key file. Raises `MissingSecret`: another passphrase, or no such file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, passphrase)
    except (ValueError, TypeError):
        raise MissingSecret("the key file does not open with this passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise MissingSecret("the key file holds no Ed25519 key")
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()
