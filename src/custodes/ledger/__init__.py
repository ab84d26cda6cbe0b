"""The record of every look that nobody can rewrite: leaves, tree, signed checkpoints, proofs, a durable writer.

This file imports nothing: `verify` uses the reading half of the room and must not pull in the rest.
"""
