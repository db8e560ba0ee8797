"""Unfinished work: independent pieces, kept on disk as they are done, on one or many processes."""
