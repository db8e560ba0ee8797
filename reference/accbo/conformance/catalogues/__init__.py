"""The known mistakes of the algorithms beside AccBO, one file an algorithm."""
