"""The test vectors: what they are, how they are made, read, replayed and proven."""
