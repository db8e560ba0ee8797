"""Small edits of a program's source, by its syntax tree: those that change what it computes.

A program is a module of functions; an edit replaces one expression or moves one statement in a
function that ``begin`` reaches. Which edits there are depends on the source alone. Beside them
``rearrangements``: edits that change the order of the arithmetic and nothing else.
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
                found.append(Edit(kind, name, place[id(node)], _text(node, make), make))
        for block in _blocks(function):
            for kind, make in _moved(block):
                changed = make(copy.deepcopy(block))
                made = "; ".join(map(ast.unparse, changed.body)).replace("\n", " ")
                found.append(Edit(kind, name, place[id(block)], made, make))
    return found


def rearrangements(source: str, begin: Sequence[str]) -> list[Edit]:
    """All edits of the functions that ``begin`` reaches that are the same mathematics."""
    tree = ast.parse(source)
    place = {id(node): number for number, node in enumerate(ast.walk(tree))}
    return [
        Edit("equal", name, place[id(node)], _text(node, make), make)
        for name, function in reached(tree, begin).items()
        for node in _computing(function)
        for make in _equal(node)
    ]


def apart(source: str, offered: Sequence[Edit], most: int) -> list[Edit]:
    """The first ``most`` of some edits of which none lies inside another one's place."""
    nodes = list(ast.walk(ast.parse(source)))
    place = {id(node): number for number, node in enumerate(nodes)}
    inside = {
        edit.node: {place[id(node)] for node in ast.walk(nodes[edit.node])} for edit in offered
    }
    chosen: list[Edit] = []
    for edit in offered:
        if all(
            edit.node not in inside[other.node] and other.node not in inside[edit.node]
            for other in chosen
        ):
            chosen.append(edit)
    return chosen[:most]


def _text(node: ast.expr, make: Callable[[Any], Any]) -> str:
    made = ast.unparse(ast.fix_missing_locations(make(copy.deepcopy(node))))
    return f"{ast.unparse(node)}  →  {made}"


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
            yield "hyper-parameter", _to(f"float(np.float32(a.{node.attr}))")
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


# --- the same mathematics ---------------------------------------------------------------------


def _equal(node: ast.expr) -> Iterator[Make]:
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called == "np.linalg.norm":
            yield _of_parts("np.sqrt(np.sum({0} * {0}))", lambda n: [n.args[0]])
            yield _of_parts("np.sqrt({0} @ {0})", lambda n: [n.args[0]])
        elif called == "mean":
            yield _of_parts("mean({0}[::-1])", lambda n: [n.args[0]])
    if not isinstance(node, ast.BinOp):
        return
    sides: Callable[[Any], list[Any]] = lambda n: [n.left, n.right]  # noqa: E731
    if isinstance(node.op, ast.Add):
        yield _of_parts("({1}) + ({0})", sides)
        yield from _average(node)
    elif isinstance(node.op, ast.Mult):
        yield _of_parts("({1}) * ({0})", sides)
        if isinstance(node.right, ast.BinOp) and isinstance(node.right.op, ast.Add | ast.Sub):
            sign = "+" if isinstance(node.right.op, ast.Add) else "-"
            yield _of_parts(
                f"({{0}}) * ({{1}}) {sign} ({{0}}) * ({{2}})",
                lambda n: [n.left, n.right.left, n.right.right],
            )
    elif isinstance(node.op, ast.Sub):
        yield _of_parts("-(({1}) - ({0}))", sides)
        yield _of_parts("-({1}) + ({0})", sides)
    elif isinstance(node.op, ast.Div):
        yield _of_parts("({0}) * (1 / ({1}))", sides)
        yield _of_parts("-({0}) / -({1})", sides)
    if isinstance(node.left, ast.BinOp):
        inner: Callable[[Any], list[Any]] = lambda n: [n.left.left, n.left.right, n.right]  # noqa: E731
        if isinstance(node.left.op, ast.Add) and isinstance(node.op, ast.Add | ast.Sub):
            sign = "+" if isinstance(node.op, ast.Add) else "-"
            yield _of_parts(f"({{0}}) + (({{1}}) {sign} ({{2}}))", inner)
        if isinstance(node.left.op, ast.Mult) and isinstance(node.op, ast.Mult | ast.Div):
            sign = "*" if isinstance(node.op, ast.Mult) else "/"
            yield _of_parts(f"({{0}}) * (({{1}}) {sign} ({{2}}))", inner)


def _average(node: ast.BinOp) -> Iterator[Make]:
    """(1 − t) u + t v as u + t (v − u), and t u + (1 − t) v."""
    shape = ast.unparse(node)
    for t, form in (("a.averaging", "u + t (v - u)"), ("a.momentum", "v + t (u - v)")):
        if form[0] == "u" and shape.startswith(f"(1 - {t}) * "):
            yield _of_parts(
                f"({{0}}) + {t} * (({{1}}) - ({{0}}))", lambda n: [n.left.right, n.right.right]
            )
        elif form[0] == "v" and shape.startswith(f"{t} * ") and f"(1 - {t}) * " in shape:
            yield _of_parts(
                f"({{1}}) + {t} * (({{0}}) - ({{1}}))", lambda n: [n.left.right, n.right.right]
            )


def _of_parts(text: str, parts: Callable[[Any], list[Any]]) -> Make:
    """``text`` with parts of the old expression in it."""
    return lambda node: _parsed(text.format(*map(ast.unparse, parts(node))))


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
