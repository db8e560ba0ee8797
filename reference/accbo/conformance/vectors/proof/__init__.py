"""Proofs of the test vectors: the page replayed in ball arithmetic, by a program of its own.

Nothing here takes a step of ``accbo.algorithms`` or a derivative of ``accbo.problems``: the proof
is worth what it is because it was written from VECTORS.md alone.
"""
