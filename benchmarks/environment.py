"""What the figures were taken on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # the size of XLA's pool; no flag of XLA sets it any more
    "PJRT_NPROC",  # its newer name
)
XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false"


def one_thread() -> None:
    """One thread for BLAS and XLA; of use only before NumPy and JAX are imported."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"


def describe() -> dict[str, Any]:
    """Versions, processor, date; ``jax`` is null where it is not installed."""
    return {
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "jax": _version("jax"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "threads": {name: os.environ.get(name) for name in (*THREADS, "XLA_FLAGS")},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
