"""Files to start from: an adapter of each algorithm, for NumPy, PyTorch, JAX and C."""
