"""The offline check for people outside: a log's directory, an exported folder or a proof, judged by the reader's own policy.

This room imports nothing but the reading half of `ledger` and runs with `cryptography` alone: `python -m custodes.verify PATH`.
This file imports nothing.
"""
