"""How somebody else's AccBO, or another of the algorithms, is handed to the oracle.

An implementation is a *factory*: ``factory(problem, algorithm, state)`` returns an object with
``step(sample)`` and ``state()``, a mapping that holds ``x`` and any other field of
``AccBOState``, or of the state of the algorithm that it implements. Arrays are of the
implementer's own namespace. ``accbo conform --scaffold`` writes one to start from.

``problem`` has, at x of shape ``(d_x,)`` and y, v of shape ``(d_y,)``:

=========================================  ===================  ==========
``grad_x_upper(x, y, sample)``             ∇_x F(x, y; ξ)       ``(d_x,)``
``grad_y_upper(x, y, sample)``             ∇_y F(x, y; ξ)       ``(d_y,)``
``grad_y_lower(x, y, sample)``             ∇_y G(x, y; π)       ``(d_y,)``
``hvp_lower(x, y, v, sample)``             ∇²_yy G(x, y; ζ) v   ``(d_y,)``
``cross_lower(x, y, v, sample)``           ∇²_xy G(x, y; ζ⁰) v  ``(d_x,)``
``upper(x, y, sample)``, ``lower(…)``      F, G                 ``()``
``d_x``, ``d_y``                           the sizes
=========================================  ===================  ==========

``algorithm`` has the hyper-parameters by the names of the class of ``accbo.algorithms``, and
``sample`` the noise of one iteration: NamedTuples of mappings from fields, which are the
problem's own business, to arrays. Of AccBO:

==================  ==========================================  ============================
``sample.upper``    ξ                                           ``(d,)``
``sample.cross``    ζ⁰                                          ``(d,)``
``sample.hessian``  ζ, a row for each factor of the series      ``(Q − 1, d)``, or as many as
                                                                ``factors`` takes
``sample.power``    q of the randomised series, else empty      ``power``: ``(1,)``
``sample.lower``    π, a row for each lower step                ``(steps, d)``
==================  ==========================================  ============================

``rows`` takes the rows of such a part one by one. ``scaffold/samples.py`` has the parts and axes
of the other algorithms; replicates (``batched``) are axes in front of ``d``. Optional:

- ``load(state)`` on the object: go on from another state, without a new object;
- ``parts()`` on the object: intermediates of the last step, a mapping from any of the names that
  ``accbo explain`` prints to arrays; it marks the first that is off;
- ``factory.start(problem, algorithm, x, y, start)``: the object after warm start and iteration 0;
- ``factory.batched = True``: x may have leading axes of replicates;
- ``factory.conventions``: what is covered of SPEC §2, ``{"order": "simultaneous"}`` for instance;
- ``factory.namespace = "torch"``: the arrays it takes (``from_tree``: as lists or dicts of them);
- ``factory.algorithm = "SABA"``: what it implements, AccBO by default. A field inside a part of
  the state has a dotted name, or stands in a mapping of its own: ``tables.grad_y_lower.mean``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from accbo._arrays import row
from accbo._arrays import rows as count_rows
from accbo._foreign import read
from accbo.conformance.mistakes.series import term_rows

CONVENTIONS = {
    "order": ("simultaneous", "sequential"),
    "neumann_sampling": ("chained", "independent", "randomised"),
    "option": ("I", "II"),
    "first": ("one", "mean"),
}


def rows(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a stacked part of a sample, such as ``sample.lower``: one sample each."""
    for index in range(count_rows(dict(part))):
        yield row(dict(part), index)


def factors(algorithm: Any, sample: Any) -> list[list[dict[str, Any]]]:
    """For each term q = 0 … Q−1 of the series the samples of its factors, j = 1 first.

    In the randomised series the one term q = ``sample.power["power"]`` is drawn, times Q.
    """
    sampling, terms = algorithm.neumann_sampling, algorithm.neumann_terms
    given = list(rows(sample.hessian))
    return [[given[index] for index in term_rows(sampling, terms, q)] for q in range(terms)]


def from_function(
    step: Callable[..., Any],
    *,
    start: Callable[..., Any] | None = None,
    parts: Callable[..., Any] | None = None,
    namespace: str = "numpy",
    batched: bool = False,
    conventions: Mapping[str, Any] | None = None,
    algorithm: str = "AccBO",
) -> Any:
    """A factory of a pure function ``step(problem, algorithm, state, sample) -> state``.

    A state is a mapping or a NamedTuple; the first one is an ``AccBOState``, or the state of the
    ``algorithm`` of that name. ``start(problem,
    algorithm, x, y, start)`` returns the state after iteration 0. ``parts(problem, algorithm,
    state, sample)`` returns what a step from ``state`` computes on its way, by the names that
    ``accbo explain`` prints.
    """

    class Implementation:
        """The function with its latest state."""

        def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
            self.problem, self.algorithm, self.latest = problem, algorithm, state

        def load(self, state: Any) -> None:
            """Go on from ``state``."""
            self.latest = state

        def step(self, sample: Any) -> None:
            """One iteration."""
            self.before = self.problem, self.algorithm, self.latest, sample
            self.latest = step(*self.before)

        def state(self) -> Any:
            """What the function returned."""
            latest = self.latest
            return latest._asdict() if hasattr(latest, "_asdict") else latest

    if parts is not None:
        Implementation.parts = lambda self: parts(*self.before)  # type: ignore[attr-defined]

    def factory(problem: Any, algorithm: Any, state: Any) -> Implementation:
        return Implementation(problem, algorithm, state)

    made: Any = factory
    if start is not None:

        def started(problem: Any, algorithm: Any, x: Any, y: Any, samples: Any) -> Implementation:
            state = start(problem, algorithm, x, y, samples)
            return Implementation(problem, algorithm, state)

        made.start = started
    made.namespace, made.batched, made.conventions = namespace, batched, dict(conventions or {})
    made.algorithm = algorithm
    made.__name__ = getattr(step, "__name__", "step")
    made.__wrapped__ = step  # where the user's own code is
    return made


def claimed(factory: Any) -> dict[str, tuple[str, ...]]:
    """The conventions that a factory declares; raises ``ValueError`` for one that is none."""
    declared = read(factory, "conventions") or {}
    if not isinstance(declared, Mapping):
        raise ValueError(f"factory.conventions must be a mapping, got {declared!r}")
    found = {}
    for name, chosen in declared.items():
        values = tuple(chosen) if isinstance(chosen, list | tuple | set | frozenset) else (chosen,)
        unknown = [value for value in values if value not in CONVENTIONS.get(name, ())]
        if name not in CONVENTIONS or unknown or not values:
            known = "; ".join(f"{key}: {', '.join(value)}" for key, value in CONVENTIONS.items())
            raise ValueError(f"factory.conventions has {name} = {chosen!r}; known are {known}")
        found[name] = values
    return found
