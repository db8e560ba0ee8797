"""A training loop of any size, judged from the scalars that it logs (docs/traces.md)."""

from accbo.tracing.reader import TraceError
from accbo.tracing.recorder import Recorder
from accbo.tracing.traced import traced
from accbo.tracing.verify import Verdict, verify

__all__ = ["Recorder", "TraceError", "Verdict", "traced", "verify"]
