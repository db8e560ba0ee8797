"""A library with an AccBO of its own."""
