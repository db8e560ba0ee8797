"""What the study of large dimensions measures."""

from __future__ import annotations

from typing import NamedTuple

LEAST = 100  # the dimension that stays where the other one is varied


class Plan(NamedTuple):
    """What is measured; dimensions ascending."""

    together: tuple[int, ...]  # d_x = d_y, cost
    dense: tuple[int, ...]  # those of them with the matrices written out as well
    apart: tuple[int, ...]  # d_x or d_y, the other one at ``LEAST``, cost
    seconds: float  # of timing per size and sweep
    sweeps: int
    accuracy: tuple[int, ...]
    steps: int  # T of a run whose accuracy is measured
    least_replicates: int
    most_replicates: int

    def up_to(self, largest: int) -> Plan:
        """The plan without dimensions above ``largest``."""

        def kept(dimensions: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(d for d in dimensions if d <= largest)

        return self._replace(
            together=kept(self.together),
            dense=kept(self.dense),
            apart=kept(self.apart),
            accuracy=kept(self.accuracy),
        )
