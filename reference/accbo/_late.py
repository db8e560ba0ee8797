"""A package whose names are imported when one of them is first asked for.

``import accbo`` and the start of pytest with the plugin then cost next to nothing; the first
``accbo.run``, or ``from accbo import run``, pays for what it needs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _LatePackage(ModuleType):
    """A package with the names of its module ``_exports``, and with its submodules."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return import_module(f"{self.__name__}._exports").__all__
        if not name.startswith("__"):
            # a submodule first: what the package is made of may ask for it half way through
            if name not in _SHADOWED.get(self.__name__, ()) and find_spec(
                f"{self.__name__}.{name}"
            ):
                return import_module(f"{self.__name__}.{name}")
            exports = import_module(f"{self.__name__}._exports")
            if name in exports.__all__:
                value = getattr(exports, name)
                setattr(self, name, value)
                return value
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # once accbo/run.py is loaded, by whatever way, the import machinery puts the module at
        # ``accbo.run``, where the function belongs
        if isinstance(value, ModuleType) and name in _SHADOWED.get(self.__name__, ()):
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})


_SHADOWED: dict[str, tuple[str, ...]] = {}


def names_late(package: str, *, shadowed: tuple[str, ...] = ()) -> None:
    """Let ``package`` offer ``package._exports.__all__`` without importing it before it is asked.

    ``shadowed`` are functions of the same name as the submodule that holds them.
    """
    _SHADOWED[package] = shadowed
    sys.modules[package].__class__ = _LatePackage
