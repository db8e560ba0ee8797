"""Real tasks, and the comparison of all methods on them at equal oracle calls."""
