"""Theory checks: one theorem, one file; ``python -m theory_checks`` runs them."""
