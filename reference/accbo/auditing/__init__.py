"""Does the theory apply to a user's own problem? Every assumption, with figures and a point."""

from accbo.auditing.core import audit
from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding
from accbo.auditing.oracle import AuditError
from accbo.auditing.report import Audit

__all__ = ["FAILS", "HOLDS", "UNTOLD", "Audit", "AuditError", "Finding", "audit"]
