"""Small edits of a program's source, by its syntax tree: those that change what it computes.

A program is a module of functions; an edit replaces one expression or moves one statement in a
function that ``begin`` reaches. Which edits there are depends on the source alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

SWAPPED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
ORACLES = ("grad_x_upper", "grad_y_upper", "grad_y_lower", "hvp_lower", "cross_lower")
PARTS = ("upper", "upper_y", "cross", "hessian", "lower")
SQUASHED = ("np.tanh({})", "np.abs({})", "np.sign({})", "np.clip({}, -0.5, 0.5)", "np.sort({})")
SCALED = ("2 * ({})", "({}) / 2", "-({})", "1.01 * ({})")
UNTOUCHED = ("name", "p", "s", "a", "t", "len", "length", "int", "list", "range", "np")


class Edit(NamedTuple):
    """One edit: ``node`` is its place in the walk of the tree, ``text`` says what it does."""

    kind: str
    function: str
    node: int
    text: str
    make: Callable[[Any], Any]  # of the node to what stands in its place


def reached(tree: ast.Module, begin: Sequence[str]) -> dict[str, ast.FunctionDef]:
    """The functions of a module that those named ``begin`` call, and they."""
    every = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    found: dict[str, ast.FunctionDef] = {}
    waiting = list(begin)
    while waiting:
        name = waiting.pop(0)
        if name in every and name not in found:
            found[name] = every[name]
            inside = (n.id for n in ast.walk(every[name]) if isinstance(n, ast.Name))
            waiting += [other for other in inside if other in every]
    return found


def edits(source: str, begin: Sequence[str]) -> list[Edit]:
    """All edits of the functions that ``begin`` reaches, in the order of the source."""
    tree = ast.parse(source)
    place = {id(node): number for number, node in enumerate(ast.walk(tree))}
    found: list[Edit] = []
    for name, function in reached(tree, begin).items():
        names = _numbers(function)
        for node in _computing(function):
            for kind, make in _variants(node, names):
                made = ast.unparse(ast.fix_missing_locations(make(copy.deepcopy(node))))
                text = f"{ast.unparse(node)}  →  {made}"
                found.append(Edit(kind, name, place[id(node)], text, make))
        for block in _blocks(function):
            for kind, make in _moved(block):
                changed = make(copy.deepcopy(block))
                made = "; ".join(map(ast.unparse, changed.body)).replace("\n", " ")
                found.append(Edit(kind, name, place[id(block)], made, make))
    return found


def edited(source: str, *changes: Edit) -> ast.Module:
    """The program with some edits, each of a node of the untouched source."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    targets = {id(nodes[edit.node]): edit for edit in changes}

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            edit = targets.get(id(node))
            node = self.generic_visit(node)
            return node if edit is None else edit.make(node)

    return ast.fix_missing_locations(Replace().visit(tree))


# --- what is edited ---------------------------------------------------------------------------


def _computing(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expressions that are computed: no names of fields, no annotations, no targets."""
    for statement in function.body:
        yield from _inside(statement)


def _inside(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant | ast.JoinedStr):
        if isinstance(node.ctx, ast.Load) and _root(node) == "s":
            yield node
        return
    if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _inside(child)


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _numbers(function: ast.FunctionDef) -> list[str]:
    """The local names that hold numbers or arrays."""
    given = [argument.arg for argument in function.args.args]
    stored = [
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    names = [n for n in dict.fromkeys([*given, *stored]) if n not in UNTOUCHED]
    return [n for n in names if n not in ("sample", "first", "start", "batches", "samples")]


Make = Callable[[Any], Any]


def _variants(node: ast.expr, names: Sequence[str]) -> Iterator[tuple[str, Make]]:
    if isinstance(node, ast.BinOp):
        yield from _operations(node)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Attribute):
        yield from _attributes(node)
    elif isinstance(node, ast.Name) and node.id in names:
        for other in names:
            if other != node.id:
                yield "another variable", _to(other)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        if _root(node) == "s" and str(node.slice.value).endswith("_previous"):
            yield "not the previous", _to(f's["{str(node.slice.value).removesuffix("_previous")}"]')
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        yield "off by one", _filled("({})[:-1]")
        yield "off by one", _filled("({})[1:]")
    elif isinstance(node, ast.IfExp):
        yield "one branch", lambda n: n.body
        yield "one branch", lambda n: n.orelse
    elif isinstance(node, ast.Compare):
        yield "condition", _filled("not ({})")
    if isinstance(node, ast.Call):
        yield from _calls(node)
    if isinstance(node, ast.BinOp) or _is_value(node):
        for text in SCALED:
            yield "scaled", _filled(text)
        for text in SQUASHED:
            yield "squashed", _filled(text)


def _is_value(node: ast.expr) -> bool:
    """Whether an expression is an oracle's answer or a field."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ORACLES
    return isinstance(node, ast.Subscript) and _root(node) == "s"


def _operations(node: ast.BinOp) -> Iterator[tuple[str, Make]]:
    other = SWAPPED.get(type(node.op))
    if other is not None:
        yield "operator", lambda n: ast.BinOp(n.left, other(), n.right)
    if isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
        yield "operands", lambda n: ast.BinOp(n.right, n.op, n.left)
    yield "term dropped", lambda n: n.left
    if not isinstance(node.op, ast.Div | ast.Pow):
        yield "term dropped", lambda n: n.right
    if isinstance(node.op, ast.Div):
        yield (
            "root",
            lambda n: ast.BinOp(
                n.left, n.op, ast.parse(f"np.sqrt({ast.unparse(n.right)})", mode="eval").body
            ),
        )


def _constants(node: ast.Constant) -> Iterator[tuple[str, Make]]:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    others = (
        (value + 1, value - 1, 2 * value)
        if isinstance(value, int)
        else (value + 0.1, value - 0.1, 1 - value, value / 2)
    )
    for new in dict.fromkeys(others):
        if new != value:
            yield "constant", _to(repr(round(new, 6)))


def _attributes(node: ast.Attribute) -> Iterator[tuple[str, Make]]:
    root = _root(node)
    if root == "a" and isinstance(node.value, ast.Name):
        for other in HYPER:
            if other != node.attr:
                yield "hyper-parameter", _to(f"a.{other}")
        if node.attr in FLOATS:
            yield "hyper-parameter", _to(f"(1 - a.{node.attr})")
            yield "hyper-parameter", _to(f"a.{node.attr} ** 2")
            yield "hyper-parameter", _to(f"np.float64(np.float32(a.{node.attr}))")
    elif node.attr in PARTS and root != "p":
        for other in PARTS:
            if other != node.attr:
                yield "another sample", _renamed(other)
    elif node.attr in ORACLES:
        for other in ORACLES:
            if other != node.attr:
                yield "another derivative", _renamed(other)
    elif node.attr == "max":
        yield "maximum", _renamed("min")
        yield "maximum", _renamed("sum")
    elif node.attr == "cbrt":
        yield "root", _renamed("sqrt")


FLOATS = (
    "lower_step_size",
    "upper_step_size",
    "linear_step_size",
    "lower_momentum",
    "averaging",
    "momentum",
    "neumann_scale",
    "lower_averaging",
    "upper_averaging",
    "offset",
)
HYPER = (*FLOATS, "neumann_terms", "lower_steps")


def _calls(node: ast.Call) -> Iterator[tuple[str, Make]]:
    called = ast.unparse(node.func)
    if called == "rows":
        yield "rows", _filled("list({})[::-1]")
        yield "rows", _filled("list({})[:-1]")
        yield "rows", _filled("list({})[1:]")
        yield "rows", _filled("list({})[:1] * len(list({}))")
    elif called == "range" and node.args:
        yield "rows", _filled("list({})[:-1]")
        yield "rows", _filled("list({})[1:]")
    elif called == "cells":
        yield "rows", _filled("list({})[:1]")
        yield "rows", _filled("list({})[-1:]")
    elif called == "mean":
        yield "mean", _filled("({}) * len({})", inside=True)
        yield "mean", _filled("({1})[0]", inside=True)
        yield "mean", _filled("({1})[-1]", inside=True)
    elif called == "np.linalg.norm":
        yield "norm", lambda n: _parsed(f"np.sum(np.abs({ast.unparse(n.args[0])}))")
        yield "norm", lambda n: _parsed(f"np.max(np.abs({ast.unparse(n.args[0])}))")
        yield "norm", lambda n: _parsed(f"np.sum({ast.unparse(n.args[0])} ** 2)")
    elif called.startswith("p."):
        for index in range(len(node.args) - 1):
            yield "arguments", _exchanged(index)


# --- statements -------------------------------------------------------------------------------


def _blocks(function: ast.FunctionDef) -> Iterator[Any]:
    """The function and its loops: what has a body of lines."""
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.For):
            yield node


def _moved(block: Any) -> Iterator[tuple[str, Make]]:
    count = len(block.body)
    for index in range(count):
        if isinstance(block.body[index], ast.Return):
            continue
        if count > 1:
            yield "line dropped", _with_body(lambda b, i=index: [*b[:i], *b[i + 1 :]])
        yield "line twice", _with_body(lambda b, i=index: [*b[: i + 1], *b[i:]])
        if index + 1 < count and not isinstance(block.body[index + 1], ast.Return):
            yield (
                "lines exchanged",
                _with_body(lambda b, i=index: [*b[:i], b[i + 1], b[i], *b[i + 2 :]]),
            )


def _with_body(change: Callable[[list[Any]], list[Any]]) -> Make:
    def make(block: Any) -> Any:
        block.body = [copy.deepcopy(line) for line in change(block.body)]
        return block

    return make


# --- replacements -----------------------------------------------------------------------------


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _to(text: str) -> Make:
    return lambda node: _parsed(text)


def _filled(text: str, inside: bool = False) -> Make:
    """``text`` with the old expression in it; ``inside``: its first argument too."""

    def make(node: Any) -> Any:
        old = ast.unparse(node)
        if not inside:
            return _parsed(text.replace("{}", old))
        argument = ast.unparse(node.args[0])
        if "{1}" in text:
            return _parsed(text.replace("{1}", argument))
        return _parsed(f"({old}) * len({argument})")

    return make


def _renamed(name: str) -> Make:
    return lambda node: ast.Attribute(node.value, name, node.ctx)


def _exchanged(index: int) -> Make:
    def make(node: Any) -> Any:
        arguments = list(node.args)
        arguments[index], arguments[index + 1] = arguments[index + 1], arguments[index]
        return ast.Call(node.func, arguments, node.keywords)

    return make
