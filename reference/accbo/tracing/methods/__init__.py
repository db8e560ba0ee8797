"""What a trace of each algorithm must satisfy, and what its known mistakes make of it."""
