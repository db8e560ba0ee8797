"""What ``accbo.conformance`` offers, by name; its ``__init__`` takes it in when first asked."""

from accbo.conformance.adapter import factors, from_function, rows
from accbo.conformance.as_tests import parametrize
from accbo.conformance.check import check
from accbo.conformance.faults import FAULTS
from accbo.conformance.trees import from_tree
from accbo.conformance.verdict.report import Check, ConformanceError, Report

__all__ = [
    "FAULTS",
    "Check",
    "ConformanceError",
    "Report",
    "check",
    "factors",
    "from_function",
    "from_tree",
    "parametrize",
    "rows",
]
