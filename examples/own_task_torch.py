"""Hyper-cleaning in PyTorch, with an LSTM below: which training series have wrong labels?

    accbo audit   examples/own_task_torch.py:problem --samples 64
    accbo compare examples/own_task_torch.py:task --budget 2000 --seeds 3

A network is trained on weighted series (lower level); the weights are learnt from a loader of clean
ones (upper level). ``audit`` says that the theory does not cover a network below, and what to
watch; ``compare`` runs all nine methods at equal oracle calls and at equal seconds.
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as loss
from torch.utils.data import DataLoader, TensorDataset

import accbo

series = torch.randn(80, 4, 2, generator=torch.Generator().manual_seed(0))
labels = (series[..., 0].sum(1) > 0).float()
given = torch.where(torch.arange(40) < 12, 1 - labels[:40], labels[:40])  # 12 of them are wrong


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.out = torch.nn.LSTM(2, 2, batch_first=True), torch.nn.Linear(2, 1)

    def forward(self, inputs):
        return self.out(self.cells(inputs)[0][:, -1])[:, 0]


def upper(x, y, batch):
    return loss(y(batch[0]), batch[1])


def lower(x, y, batch):
    each = loss(y(batch[0]), batch[1], reduction="none")
    ridge = sum((p**2).sum() for p in y.parameters())
    return (torch.sigmoid(x["weights"][batch[2]]) * each).mean() + 0.05 * ridge


def problem():
    torch.manual_seed(0)  # the network's first parameters are the start: the same in every process
    clean = DataLoader(TensorDataset(series[40:60], labels[40:60]), batch_size=10, shuffle=True)
    data = {"upper_data": clean, "lower_data": (series[:40], given, torch.arange(40))}
    x = {"weights": torch.zeros(40)}
    return accbo.problems.from_torch(upper, lower, x=x, y=Network(), **data)


def validate(state):
    scores = torch.func.functional_call(Network(), state.y, (series[60:],))
    return -loss(scores, labels[60:]).item()


def task():
    return accbo.Task(problem(), validate)
