"""The correctness oracle; so far the faults that every check must be seen to catch."""
