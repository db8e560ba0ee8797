"""``module:factory`` or ``file.py:factory``, imported, with a clear message where it cannot be."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from typing import Any


class TargetError(ValueError):
    """What is wrong with a target; the message says what to do."""


def load_target(target: str) -> Any:
    """The object that ``target`` names; raises ``TargetError``."""
    module_name, _, name = target.rpartition(":")
    if not module_name or not name:
        raise TargetError(f"expected MODULE:FACTORY or FILE.py:FACTORY, got {target!r}")
    module = _module(module_name)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            offered = [each for each in vars(module) if not each.startswith("_")]
            near = difflib.get_close_matches(part, offered, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TargetError(f"{module_name} has no {name}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise TargetError(f"{target} is a {type(found).__name__}; a factory is callable")
    return found


def _module(name: str) -> Any:
    try:
        if name.endswith(".py"):
            return _from_file(name)
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(name)
    except TargetError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(
                f"there is no module {name}; it is looked for in the current folder and on "
                "PYTHONPATH, and FILE.py:FACTORY names a file"
            ) from None
        raise TargetError(f"importing {name} failed: {error}") from error
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())[:300]
        raise TargetError(f"importing {name} raised {type(error).__name__}: {text}") from error


def _from_file(path: str) -> Any:
    if not os.path.isfile(path):
        raise TargetError(f"there is no file {path}")
    name = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module
