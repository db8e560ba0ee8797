"""The text of an adapter to start from, made of what the algorithm itself says of its parts."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from accbo import algorithms
from accbo.conformance.methods import METHODS
from accbo.conformance.mistakes.lines import LINES
from accbo.conformance.scaffold.samples import SAMPLES
from accbo.conformance.vectors.vector import fields_of, file_of

WIDTH = 96
CONVENTIONS = {"order": "simultaneous", "option": "I", "neumann_sampling": "chained"}
NOT_YET = "not implemented yet: step"
_OPEN = {  # the lines that an algorithm's own leave open, by part
    "AccBO": ("h",),
    "SABA": ("tables",),
    "SUSTAIN": ("h",),
    "VRBO": ("h",),
}

_LIBRARIES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "c": "C"}
_PROBLEM = (
    "problem.grad_x_upper(x, y, sample), .grad_y_upper(x, y, sample), .grad_y_lower(x, y, sample);",
    "problem.hvp_lower(x, y, v, sample) is ∇²_yy G v, .cross_lower(x, y, v, sample) ∇²_xy G v;",
    "x and what is shaped like it are (d_x,), y and v are (d_y,). What sample stands for there:",
)


def adapter(language: str, method: str, file: str, name: str = "Mine") -> str:
    """An adapter of ``method`` for ``language``, as the text of ``file``.

    ``name`` is the factory's. It runs as it is and says that its step is not implemented yet.
    """
    return LANGUAGES[language](method, file, name)


# --- Python -----------------------------------------------------------------------------------


def _class(library: str) -> Callable[[str, str, str], str]:
    """An adapter that is a class, for arrays of ``library``."""
    copied = ".clone()" if library == "torch" else ""

    def make(method: str, file: str, name: str) -> str:
        fields = _state(method)
        arrays = [field for field in fields if field != "iteration"]
        kept = [
            f"        self.{field} = state.{field}{'' if field == 'tables' else copied}  # {what}"
            for field, what in fields.items()
            if field != "iteration"
        ]
        if "offset" in _options(method):
            kept.append("        self.t = state.iteration  # step adds 1")
        shown = [f'"{field}": self.{field}' for field in arrays]
        return "\n".join(
            [
                _docstring(method, library, file, name),
                "",
                "from accbo.conformance import rows",
                "",
                "",
                f"class {name}:",
                f'    algorithm, namespace = "{method}", "{library}"',
                *_declared(method, "    "),
                "",
                "    def __init__(self, problem, options, state):",
                "        self.problem, self.options = problem, options",
                "        self.load(state)",
                "",
                "    def load(self, state):",
                *kept,
                "",
                "    def step(self, sample):",
                *_unpacked(method, "        ", "self.problem, self.options"),
                f'        raise NotImplementedError("{NOT_YET}")  # yours',
                "",
                "    def state(self):",
                *_bracketed("return {", shown, "}", "        "),
                "",
            ]
        )

    return make


def _function(method: str, file: str, name: str) -> str:
    """An adapter that is a pure function, for JAX."""
    fields = _state(method)
    arrays = [field for field in fields if field != "iteration"]
    made = ["step", 'namespace="jax"', f'algorithm="{method}"']
    if METHODS[method].conventions:
        made.append(f"conventions={_quoted(CONVENTIONS)}")
    return "\n".join(
        [
            _docstring(method, "jax", file, name),
            "",
            "from accbo.conformance import from_function, rows",
            "",
            "",
            "def step(problem, options, state, sample):",
            *_wrapped(f"{', '.join(arrays)}, t = state", "    "),
            *_unpacked(method, "    "),
            f'    raise NotImplementedError("{NOT_YET}")  # yours; jax.jit may be used inside',
            f"    return state._replace({', '.join(f'{each}={each}' for each in arrays[:2])})",
            "",
            "",
            *_bracketed(f"{name} = from_function(", made, ")", ""),
            "",
        ]
    )


def _docstring(method: str, library: str, file: str, name: str) -> str:
    return "\n".join(
        [
            f'"""{method} in {_LIBRARIES[library]}, to be filled in: accbo conform {file}:{name}',
            "",
            *_lines(method),
            "",
            *_PROBLEM,
            "",
            *_sample_lines(method, "sample."),
            "",
            *_wrapped(
                "rows(part) gives the rows of a part with an axis in front, one sample each"
                + (", or batches, whose rows are samples" if _batches(method) else "")
                + ".",
                "",
            ),
            '"""',
        ]
    )


def _declared(method: str, indent: str) -> list[str]:
    if METHODS[method].conventions is None:
        return []
    return [f"{indent}conventions = {_quoted(CONVENTIONS)}"]


def _unpacked(method: str, indent: str, given: str = "") -> list[str]:
    """The lines that name what a step reads."""
    first = [f"{indent}problem, options = {given}"] if given else []
    said = [f"{indent}# options.{name}: {what}" for name, what in _options(method).items()]
    return [*first, *said]


# --- C ----------------------------------------------------------------------------------------


def _c(method: str, file: str, name: str) -> str:
    program = file.removesuffix(".c")
    files = file_of(method, "*")
    conventions = " ".join(f"{key}={value}" for key, value in CONVENTIONS.items())
    said = conventions if METHODS[method].conventions else ""
    constants = [
        (f'choice("{each}")' if _is_word(method, each) else f'option("{each}")', what)
        for each, what in _options(method).items()
    ]
    return "\n".join(
        [
            f"/* {method} in C, to be filled in; accbo_vectors.h says what a step may use.",
            "",
            f"       cc -O2 {file} -o {program} -lm",
            f'       ./{program} "$(accbo vectors path)/"{files} > {program}.json',
            f"       accbo vectors verify {program}.json",
            "",
            *_lines(method),
            "",
            *_sample_lines(method, "", "   "),
            "*/",
            '#include "accbo_vectors.h"',
            "",
            "/* One iteration, in place: from the state before it to the state after it. */",
            "static void step(void) {",
            *(
                f'    double *{_c_name(each)} = state("{each}"); /* {what} */'
                for each, what in _flat_state(method).items()
            ),
            *(f"    /* {call}: {what} */" for call, what in constants),
            "    not_implemented(); /* yours, instead */",
            "}",
            "",
            "int main(int argc, char **argv) {",
            f'    return accbo_results("{method}", "{name}, C", "{said}", step, argc, argv);',
            "}",
            "",
        ]
    )


def _c_name(field: str) -> str:
    return field.replace(".", "_")


def _is_word(method: str, option: str) -> bool:
    return "str" in str(getattr(algorithms, method).__dataclass_fields__[option].type)


# --- what an algorithm says of itself ---------------------------------------------------------


def _lines(method: str) -> list[str]:
    """The lines of a step, as the algorithm's own module has them, and what they leave open."""
    module = inspect.getmodule(getattr(algorithms, method))
    text = (module.__doc__ or "") if module else ""
    block = re.search(r"\n\n((?: {4}.*\n|\n(?= {4}))+)", text)
    found = block[1].rstrip("\n").split("\n") if block else []
    return [*found, *(f"    {LINES[method][part]}" for part in _OPEN.get(method, ()))]


def _comments(cls: type) -> dict[str, str]:
    """What stands behind the fields of a class, by name."""
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):  # no source is installed
        return {}
    return dict(re.findall(r"^    (\w+): [^#\n]*# (.+)$", source, re.MULTILINE))


def _state(method: str) -> dict[str, str]:
    cls: Any = getattr(algorithms, f"{method}State")
    said = _comments(cls)
    return {field: said.get(field, "") or field for field in cls._fields}


def _flat_state(method: str) -> dict[str, str]:
    """The arrays of a state by dotted name."""
    said = _state(method)
    return {field: said.get(field, field.partition(".")[2]) for field in fields_of(method)}


def _options(method: str) -> dict[str, str]:
    cls = getattr(algorithms, method)
    said = _comments(cls)
    fields = [field for field in dataclasses.fields(cls) if field.name != "parts"]
    return {each.name: _meaning(each, said.get(each.name, each.name)) for each in fields}


def _meaning(field: Any, said: str) -> str:
    """What is said of a hyper-parameter; of one that is a word, with the word it is by default."""
    return f'"{field.default}" {said}' if said.startswith("or ") else said


def _batches(method: str) -> bool:
    return any("batch" in part.what for part in SAMPLES[method])


def _sample_lines(method: str, prefix: str, indent: str = "") -> list[str]:
    """A line or two for each part of the sample: name, axes, meaning."""
    parts = SAMPLES[method]
    longest = max(len(prefix + part.name) for part in parts)
    lines = []
    for part in parts:
        axes = f"({', '.join((*part.axes, '…'))}) " if part.axes else ""
        head = f"{indent}{prefix + part.name:{longest}}  "
        lines += textwrap.wrap(
            axes + part.what, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )
    return lines


def _quoted(values: dict[str, str]) -> str:
    return str(values).replace("'", '"')


def _bracketed(opening: str, inside: list[str], closing: str, indent: str) -> list[str]:
    """A bracket on one line, or where it is too long with a line for each thing inside."""
    short = f"{indent}{opening}{', '.join(inside)}{closing}"
    if len(short) <= WIDTH:
        return [short]
    lines = [f"{indent}    {each}," for each in inside]
    return [indent + opening, *lines, indent + closing]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "    " * bool(indent)
    )


LANGUAGES: dict[str, Callable[[str, str, str], str]] = {
    "torch": _class("torch"),
    "jax": _function,
    "numpy": _class("numpy"),
    "c": _c,
}
