"""Theory checks: one theorem, one file; ``python -m theory_checks`` runs them."""

import os

# Before NumPy is loaded: the worker processes are the parallelism, and one BLAS thread makes
# the numbers independent of the machine's load.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
