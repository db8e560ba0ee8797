"""AccBO, as the page for the implementer has it."""

import numpy as np
from accbo.conformance import rows


class Implementation:
    """AccBO as I would write it: Option I, the simultaneous order, the chained series."""

    def __init__(self, problem, algorithm, state):
        self.problem, self.algorithm = problem, algorithm
        self.load(state)

    def load(self, state):
        self.x, self.x_old = state.x, state.x_previous
        self.y, self.y_old = state.y, state.y_previous
        self.average, self.average_old = state.y_average, state.y_average_previous
        self.m = state.momentum

    def hypergradient(self, x, y, sample):
        problem, a = self.problem, self.algorithm
        power = total = problem.grad_y_upper(x, y, sample.upper)
        for factor in rows(sample.hessian):
            power = power - problem.hvp_lower(x, y, power, factor) / a.neumann_scale
            total = total + power
        implicit = problem.cross_lower(x, y, total / a.neumann_scale, sample.cross)
        return problem.grad_x_upper(x, y, sample.upper) - implicit

    def step(self, sample):
        a = self.algorithm
        old = self.hypergradient(self.x_old, self.average_old, sample)
        new = self.hypergradient(self.x, self.average, sample)
        self.m = new + a.momentum * (self.m - old)
        z = self.y + a.lower_momentum * (self.y - self.y_old)
        for minibatch in rows(sample.lower):
            y = z - a.lower_step_size * self.problem.grad_y_lower(self.x, z, minibatch)
        self.x_old, self.y_old, self.average_old = self.x, self.y, self.average
        self.average = (1 - a.averaging) * self.average + a.averaging * y
        self.x, self.y = self.x - a.upper_step_size * unit(self.m), y

    def state(self):
        return {"x": self.x, "y": self.y, "y_average": self.average, "momentum": self.m}


def unit(m):
    largest = np.max(np.abs(m))  # so that no square under- or overflows
    return m / largest / np.linalg.norm(m / largest) if largest > 0 else m


Implementation.conventions = {"order": "simultaneous", "option": "I", "neumann_sampling": "chained"}
