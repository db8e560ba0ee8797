"""A bilevel problem of one's own in PyTorch: the labels that teach best.

Six points have no labels. Which labels x must they get so that ridge regression on them, y*(x),
fits forty measurements elsewhere? Two functions say so; their derivatives are taken by PyTorch.
"""

import numpy as np
import torch

import accbo

rng = np.random.default_rng(0)
points, features = torch.asarray(rng.normal(size=(6, 3))), torch.asarray(rng.normal(size=(40, 3)))
truth = torch.asarray([1.0, -2.0, 0.5], dtype=torch.float64)
measured = features @ truth + 0.1 * torch.asarray(rng.normal(size=40))


def upper(x, y, sample):
    """The fit to a batch of measurements, and a preference for small labels."""
    rows = sample["rows"]
    return torch.mean((features[rows] @ y - measured[rows]) ** 2) / 2 + 0.05 * x @ x


def lower(x, y, sample):
    """Ridge regression on the points with their labels x."""
    return torch.mean((points @ y - x) ** 2) / 2 + 0.5 * y @ y


def solve(steps=300):
    """The labels, after ``steps`` iterations with batches of eight measurements."""
    start = torch.zeros(6, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    problem = accbo.problems.from_objectives(
        upper, lower, 6, 3, backend="torch", upper_noise={"rows": ("index", (8,), 40)}, at=start
    )
    algorithm = accbo.AccBO(
        lower_step_size=0.25,
        lower_momentum=0.6,
        averaging=0.25,
        momentum=0.95,
        upper_step_size=0.01,
        neumann_terms=8,
        neumann_scale=3.0,
    )
    return accbo.run(algorithm, problem, *start, steps=steps).state.x


if __name__ == "__main__":
    print(solve())
