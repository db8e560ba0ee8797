"""Three mistakes that stand in published code; the oracle names them.

accbo conform examples/wrong_accbo.py:StaleSample
accbo conform examples/wrong_accbo.py:OneRandomTerm
accbo conform examples/wrong_accbo.py:AliasedIterates
"""

import torch
from torch_accbo import AccBO, Implementation

from accbo.conformance import factors


class Stale(AccBO):
    """The old point's gradient is the one stored an iteration ago; a norm per tensor."""

    stored = None

    def begin(self, x, y, start):
        super().begin(x, y, start)
        self.stored = self.m

    def upper_momentum(self, sample, y, y_old):
        new = self.hypergradient(self.x, y, sample)
        old = self.m if self.stored is None else self.stored
        self.m, self.stored = new + self.options.momentum * (self.m - old), new

    def upper_step(self):
        self.x_old = self.x
        first = (len(self.x) + 1) // 2  # as if x were two tensors
        blocks = zip(self.x.split(first), self.m.split(first), strict=True)
        eta = self.options.upper_step_size
        self.x = torch.cat([x - eta * m / m.norm() if m.any() else x for x, m in blocks])


class OneTerm(AccBO):
    """One random term of the series, never q = 0, and no factor Q."""

    def inverse_hessian(self, x, y, v, sample):
        terms = factors(self.options, sample)
        return self.powers(x, y, v, terms[max(1, int(sample.power["power"]))])[-1]


class Aliased(AccBO):
    """The previous iterate is another name of the current one, which is changed in place."""

    def lower_step(self, batches, y_old):
        before = super().lower_step(batches, y_old)
        following = self.y
        self.y = before
        self.y.copy_(following)
        return before


class StaleSample(Implementation):
    """The stale sample with a norm per tensor."""

    optimiser = Stale


class OneRandomTerm(Implementation):
    """The single term; it covers the randomised series alone."""

    optimiser = OneTerm
    conventions = {"neumann_sampling": "randomised"}  # noqa: RUF012


class AliasedIterates(Implementation):
    """The aliased lower iterates."""

    optimiser = Aliased
