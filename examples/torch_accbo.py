"""AccBO in plain PyTorch, differentiating losses, and what the oracle needs of it.

accbo conform examples/torch_accbo.py:Implementation
"""

import torch

from accbo.conformance import factors, rows


class AccBO:
    """An optimiser of ``upper_loss(x, y, batch)`` over ``lower_loss(x, y, batch)``."""

    def __init__(self, upper_loss, lower_loss, options):
        self.upper_loss, self.lower_loss, self.options = upper_loss, lower_loss, options

    def restore(self, state):
        """Go on from a checkpoint."""
        self.x, self.x_old = state.x.clone(), state.x_previous.clone()
        self.y, self.y_old = state.y.clone(), state.y_previous.clone()
        self.y_mean, self.y_mean_old = state.y_average.clone(), state.y_average_previous.clone()
        self.m, self.t = state.momentum.clone(), state.iteration

    def begin(self, x, y, start):
        """Warm start and iteration 0."""
        self.x, self.y, _ = x, *self.descend(x, y, y, start.warm_start)
        self.y_mean, self.t = self.y.clone(), 0
        mean_old = self.y_mean
        if self.options.order == "simultaneous":
            self.m = self.first_momentum(start.first, self.y_mean)
        y_old = self.lower_step(start.first.lower, self.y)
        if self.options.order == "sequential":
            self.m = self.first_momentum(start.first, self.y_mean)
        self.y_old, self.y_mean_old = y_old, mean_old
        self.upper_step()

    def first_momentum(self, first, y):
        parts = [
            list(rows(part)) if part else [{}] * len(list(rows(first.upper)))
            for part in (first.upper, first.cross, first.hessian, first.power)
        ]
        samples = [
            first._replace(upper=u, cross=c, hessian=h, power=p)
            for u, c, h, p in zip(*parts, strict=True)
        ]
        return sum(self.hypergradient(self.x, y, sample) for sample in samples) / len(samples)

    def step(self, sample):
        if self.options.order == "simultaneous":
            self.upper_momentum(sample, self.y_mean, self.y_mean_old)
        mean_old, y_old = self.y_mean, self.lower_step(sample.lower, self.y_old)
        if self.options.order == "sequential":
            self.upper_momentum(sample, self.y_mean, mean_old)
        self.y_old, self.y_mean_old = y_old, mean_old
        self.upper_step()

    def lower_step(self, batches, y_old):
        """Nesterov steps on the lower loss and the running mean; returns the y before them."""
        before = self.y
        self.y, _ = self.descend(self.x, before, before if self.options.period else y_old, batches)
        self.y_mean = (1 - self.options.averaging) * self.y_mean + self.options.averaging * self.y
        return before

    def descend(self, x, y, y_old, batches):
        for batch in rows(batches):
            z = (y + self.options.lower_momentum * (y - y_old)).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.lower_loss(x, z, batch), z)
            y, y_old = (z - self.options.lower_step_size * gradient).detach(), y
        return y, y_old

    def upper_momentum(self, sample, y, y_old):
        new, old = (
            self.hypergradient(self.x, y, sample),
            self.hypergradient(self.x_old, y_old, sample),
        )
        self.m = new + self.options.momentum * (self.m - old)

    def hypergradient(self, x, y, sample):
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        loss = self.upper_loss(x, y, sample.upper)
        grad_x, grad_y = torch.autograd.grad(loss, (x, y), materialize_grads=True)
        inverse = self.inverse_hessian(x, y, grad_y, sample)
        (slope,) = torch.autograd.grad(self.lower_loss(x, y, sample.cross), y, create_graph=True)
        (cross,) = torch.autograd.grad(slope, x, inverse, materialize_grads=True)
        return grad_x - cross

    def inverse_hessian(self, x, y, v, sample):
        """The Neumann series applied to v."""
        terms = factors(self.options, sample)
        if self.options.neumann_sampling == "randomised":
            drawn = terms[int(sample.power["power"])]
            return self.options.neumann_terms * self.product(x, y, v, drawn)
        return sum(self.product(x, y, v, batches) for batches in terms)

    def product(self, x, y, v, batches):
        for batch in batches:
            (slope,) = torch.autograd.grad(self.lower_loss(x, y, batch), y, create_graph=True)
            (curved,) = torch.autograd.grad(slope, y, v)
            v = v - curved / self.options.neumann_scale
        return v / self.options.neumann_scale

    def upper_step(self):
        self.x_old, self.t = self.x, self.t + 1
        largest = self.m.abs().max()
        if largest > 0:  # scaled first: the squares of a tiny m underflow
            direction = self.m / largest
            self.x = self.x - self.options.upper_step_size * direction / direction.norm()


class Implementation:
    """What the oracle asks for."""

    namespace, optimiser = "torch", AccBO

    def __init__(self, problem, algorithm, state=None):
        self.accbo = self.optimiser(problem.upper, problem.lower, algorithm)
        if state is not None:
            self.load(state)

    @classmethod
    def start(cls, problem, algorithm, x, y, start):
        made = cls(problem, algorithm)
        made.accbo.begin(x, y, start)
        return made

    def load(self, state):
        self.accbo.restore(state)

    def step(self, sample):
        self.accbo.step(sample)

    def state(self):
        a = self.accbo
        return {"x": a.x, "y": a.y, "y_average": a.y_mean, "momentum": a.m}
