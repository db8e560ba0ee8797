"""Somebody else's program at work: found, run on the vectors, or read from a file of results."""
