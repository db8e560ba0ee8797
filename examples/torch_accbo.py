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
        self.x, self.x_old = state.x.clone(), state.x_previous.clone()
        self.y, self.y_old = state.y.clone(), state.y_previous.clone()
        self.y_mean, self.y_mean_old = state.y_average.clone(), state.y_average_previous.clone()
        self.m = state.momentum.clone()

    def begin(self, x, y, start):
        self.x, self.y, _ = x, *self.descend(x, y, y, start.warm_start)
        self.y_mean = mean_old = self.y.clone()
        if self.options.order == "simultaneous":
            self.m = self.first_momentum(start.first, self.y_mean)
        y_old = self.lower_step(start.first.lower, self.y)
        if self.options.order == "sequential":
            self.m = self.first_momentum(start.first, self.y_mean)
        self.y_old, self.y_mean_old = y_old, mean_old
        self.upper_step()

    def first_momentum(self, first, y):
        parts = {name: part for name, part in first._asdict().items() if name != "lower"}
        count = len(list(rows(first.upper)))
        of = [{n: {k: v[i] for k, v in p.items()} for n, p in parts.items()} for i in range(count)]
        return sum(self.hypergradient(self.x, y, first._replace(**one)) for one in of) / count

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
        before, tau = self.y, self.options.averaging
        self.y, _ = self.descend(self.x, before, before if self.options.period else y_old, batches)
        self.y_mean = (1 - tau) * self.y_mean + tau * self.y
        return before

    def descend(self, x, y, y_old, batches):
        for batch in rows(batches):
            z = (y + self.options.lower_momentum * (y - y_old)).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.lower_loss(x, z, batch), z)
            y, y_old = (z - self.options.lower_step_size * gradient).detach(), y
        return y, y_old

    def upper_momentum(self, sample, y, y_old):
        old = self.hypergradient(self.x_old, y_old, sample)
        self.m = self.hypergradient(self.x, y, sample) + self.options.momentum * (self.m - old)

    def hypergradient(self, x, y, sample):
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        loss = self.upper_loss(x, y, sample.upper)
        grad_x, grad_y = torch.autograd.grad(loss, (x, y), materialize_grads=True)
        inverse = self.inverse_hessian(x, y, grad_y, sample)
        return grad_x - self.curvature(x, y, inverse, sample.cross, x)

    def inverse_hessian(self, x, y, v, sample):
        terms = factors(self.options, sample)
        if self.options.neumann_sampling == "randomised":
            return len(terms) * self.powers(x, y, v, terms[int(sample.power["power"])])[-1]
        if self.options.neumann_sampling == "chained":  # a term goes on from the one before
            return sum(self.powers(x, y, v, terms[-1]))
        return sum(self.powers(x, y, v, batches)[-1] for batches in terms)

    def powers(self, x, y, v, batches):
        made, scale = [v / self.options.neumann_scale], self.options.neumann_scale
        for batch in batches:
            made.append(made[-1] - self.curvature(x, y, made[-1], batch, y) / scale)
        return made

    def curvature(self, x, y, v, batch, of):
        (slope,) = torch.autograd.grad(self.lower_loss(x, y, batch), y, create_graph=True)
        return torch.autograd.grad(slope @ v, of, materialize_grads=True)[0]

    def upper_step(self):
        self.x_old = self.x
        largest = self.m.abs().max()
        if largest > 0:  # scaled first: the squares of a tiny m underflow
            direction = self.m / largest
            self.x = self.x - self.options.upper_step_size * direction / direction.norm()


class Implementation:
    """What the oracle asks for."""

    namespace, optimiser = "torch", AccBO

    def __init__(self, problem, algorithm, state=None):
        self.accbo = self.optimiser(problem.upper, problem.lower, algorithm)
        self.load, self.step = self.accbo.restore, self.accbo.step
        if state is not None:
            self.load(state)

    @classmethod
    def start(cls, problem, algorithm, x, y, start):
        made = cls(problem, algorithm)
        made.accbo.begin(x, y, start)
        return made

    def state(self):
        a = self.accbo
        return {"x": a.x, "y": a.y, "y_average": a.y_mean, "momentum": a.m}
