"""custodes: who looked at whose data without a reason. Nothing is imported here, so that outsiders can load `verify` alone."""

__version__ = "0.1.0"
