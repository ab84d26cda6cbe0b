"""The registry key. Only `custodes.home` imports this module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from custodes.errors import MissingSecret

SIZE: Final = 32


def read_key(file: Path) -> bytes:
    """Return the registry key of `file`. Raises `MissingSecret` if it is absent or has not 32 bytes."""
    try:
        key = file.read_bytes()
    except OSError as wrong:
        raise MissingSecret(f"{file.name} cannot be read: {wrong.strerror}", hint="restore it from your key backup") from None
    if len(key) != SIZE:
        raise MissingSecret(f"{file.name} has not {SIZE} bytes")
    return key
