"""A bilevel problem of nests of tensors or of modules in PyTorch, on loaders or datasets."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from accbo._arrays import Array
from accbo.problems._form import PLAIN, Form, Nest, Rows, expect_one_place, form_of, rows_of
from accbo.problems.from_objectives import library
from accbo.problems.nested import BATCH, Level, Nested, declared, nested


def from_torch(
    upper: Callable[..., Array],
    lower: Callable[..., Array],
    *,
    x: Any,
    y: Any,
    upper_data: Any = None,
    lower_data: Any = None,
    upper_batch: int | None = None,
    lower_batch: int | None = None,
    upper_noise: Mapping[str, Any] | None = None,
    lower_noise: Mapping[str, Any] | None = None,
) -> Nested:
    """Two losses of x and y as a bilevel problem, started at the given x and y.

    ``upper(x, y, batch)`` and ``lower(x, y, batch)`` return a scalar, the mean over the batch. x
    and y are each a tensor, a nest of them (dicts, lists, tuples), an ``nn.Module``, or its
    ``parameters()``. A module comes back callable, ``y(inputs)``, with the point's parameters in
    place of its own (``parameters()`` and ``y[name]`` have them); what does not require a
    gradient stays as it is.

    ``upper_data`` and ``lower_data`` are each a ``DataLoader``, a ``Dataset`` (not an iterable
    one) or a nest of tensors with a leading axis of rows. They are read once, held where x is, and
    batches are drawn from them by the tape, uniformly with replacement: of the loader's
    ``batch_size``, or of ``upper_batch`` and ``lower_batch`` rows (by default 32, or all of
    fewer); the expectation takes all rows. A batch is what the loader would have given. Without
    data it is None. Where ``upper_noise`` or ``lower_noise`` declares more (see
    :func:`from_objectives`), such as the mask of a dropout, a fourth argument is the dict of its
    fields, or None for the expectation.

    ``problem.x_form(array)`` and ``y_form`` give vectors back as they were, modules as a
    ``state_dict``; so do ``result.x`` and ``result.y`` of a run. One replicate takes no ``vmap``;
    several take a loop where an operation has no rule for it.

    Raises as :func:`from_objectives` does; ``ValueError`` for dropout and tracked statistics of a
    module in training mode, and ``TypeError`` for data that cannot be indexed.
    """
    torch = library("torch")
    modules = importlib.import_module("accbo.problems._torch_modules")
    for objective in (upper, lower):
        if callable(objective):
            modules.refuse_random(objective, x, y)
    forms = [_form(torch, name, given) for name, given in (("x", x), ("y", y))]
    expect_one_place([("x", forms[0][1]), ("y", forms[1][1])])

    def level(name: str, objective: Any, data: Any, batch: int | None, noise: Any) -> Level:
        rows = None if data is None else _rows(torch, f"{name}_data", data, batch, forms[0][1])
        return Level(objective, rows, declared(f"{name}_noise", noise))

    return nested(
        level("upper", upper, upper_data, upper_batch, upper_noise),
        level("lower", lower, lower_data, lower_batch, lower_noise),
        forms[0],
        forms[1],
        "torch",
    )


class Bound:
    """A module with parameters in place of its own, for the objectives."""

    def __init__(self, module: Any, parameters: Mapping[str, Array]) -> None:
        self._module, self._parameters = module, parameters

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """What the module gives."""
        func = importlib.import_module("torch.func")
        return func.functional_call(self._module, dict(self._parameters), inputs, named)

    def __getitem__(self, name: str) -> Array:
        return self._parameters[name]

    def parameters(self) -> Iterator[Array]:
        """The parameters that are optimised."""
        return iter(self._parameters.values())

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """The same with their names."""
        return iter(self._parameters.items())


def _form(torch: Any, name: str, given: Any) -> tuple[Form, Array]:
    if isinstance(given, torch.nn.Module):
        module = given
        held = {key: p.detach() for key, p in given.named_parameters() if p.requires_grad}
        nest = Nest(
            lambda state, name: PLAIN.apart(_chosen(state, held, module), name), PLAIN.together
        )
        return form_of(
            name,
            held,
            nest,
            outside=lambda nest: _state(module, nest),
            inside=lambda nest: Bound(module, nest),
        )
    if isinstance(given, Iterator):  # module.parameters()
        given = list(given)
    parts = [
        leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
        for _, leaf in PLAIN.apart(given, name)
    ]
    return form_of(name, PLAIN.together(given, parts), PLAIN)


def _chosen(state: Any, held: Mapping[str, Any], module: Any) -> Any:
    """Of a module or its ``state_dict`` the entries that are optimised, and those unknown."""
    if isinstance(state, type(module)):
        state = dict(state.named_parameters())
    if not isinstance(state, Mapping):
        return state
    known = module.state_dict().keys() - held.keys()
    return {key: value.detach() for key, value in state.items() if key not in known}


def _state(module: Any, nest: Mapping[str, Any]) -> dict[str, Any]:
    """The ``state_dict`` of a module with ``nest`` in place of what is optimised."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {
        key: nest.get(names.get(id(value), key), value.detach())  # tied ones have one name
        for key, value in module.state_dict(keep_vars=True).items()
    }


def _rows(torch: Any, name: str, data: Any, batch: int | None, like: Array) -> Rows:
    """The rows of a loader, a dataset or a nest of tensors, where x is."""
    utils = importlib.import_module("torch.utils.data")
    default = BATCH
    collate = utils.default_collate
    if isinstance(data, utils.DataLoader):
        default, collate, data = data.batch_size or BATCH, data.collate_fn, data.dataset
    if isinstance(data, utils.IterableDataset | Iterator):
        raise TypeError(
            f"{name} is a {type(data).__name__}, which ends and cannot be indexed; expected a "
            "DataLoader over a Dataset with a length, a Dataset, or tensors, so that a sample can "
            "name its rows"
        )
    if isinstance(data, utils.Dataset):
        data = _collected(torch, name, data, collate)
    rows = rows_of(name, _moved(torch, data, like), PLAIN, batch, default)
    real = [
        (path, leaf) for path, leaf in PLAIN.apart(rows.data, name) if torch.is_floating_point(leaf)
    ]
    expect_one_place([("x", like), *real])
    return rows


def _collected(torch: Any, name: str, data: Any, collate: Callable[..., Any]) -> Any:
    """All items of a dataset as one batch; raises ``ValueError`` where one is not repeatable."""
    count = len(data)
    if not count:
        raise ValueError(f"{name} has no rows")
    whole = collate([data[i] for i in range(count)])
    again = collate([data[0]])
    for (path, leaf), (_, other) in zip(
        PLAIN.apart(whole, name), PLAIN.apart(again, name), strict=True
    ):
        if not isinstance(leaf, torch.Tensor) or leaf.ndim < 1 or leaf.shape[0] != count:
            raise TypeError(
                f"{path} of all {count} rows together is no tensor with {count} rows, so that a "
                "batch cannot be taken from it"
            )
        if not torch.equal(leaf[0], other[0]):
            raise ValueError(
                f"{path} of row 0 differs when it is read twice: the dataset draws at random; "
                "declare what it draws as noise, and apply it in the objective"
            )
    return whole


def _moved(torch: Any, data: Any, like: Array) -> Any:
    leaves: Sequence[Any] = [
        leaf.to(like.device) if isinstance(leaf, torch.Tensor) else leaf
        for _, leaf in PLAIN.apart(data, "data")
    ]
    return PLAIN.together(data, leaves)
