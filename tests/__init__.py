"""The test suite; one file an idea, helpers in ``support``."""
