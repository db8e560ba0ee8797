"""``module:factory`` or ``file.py:factory``, imported, with a clear message where it cannot be.

Each file has a module space of its own: what it imports from beside itself, at once or later, is
not what another target finds under the same name.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from accbo._blame import described, is_own, place
from accbo._extras import for_module
from accbo._foreign import ForeignError, foreign


class TargetError(ValueError):
    """What is wrong with a target; the message says what to do."""


class Space:
    """The modules and the search path of one file; in force inside ``with space():``.

    Installed packages, Python's own modules and ours are everybody's. The user's modules that are
    imported inside belong to the space, and go out of sight with it; a module of somebody else
    that has the name of a file or package beside this one is out of sight inside.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.source = ""  # a digest of the files that were imported
        self._path: list[str] = [folder]
        self._modules: dict[str, ModuleType] = {}
        self._beside = tuple(_offered(folder))
        self._entered = False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Put the space in force."""
        if self._entered:
            yield
            return
        path, hidden = list(sys.path), self._conflicting()
        for name in hidden:
            del sys.modules[name]
        replaced = {name: sys.modules[name] for name in self._modules if name in sys.modules}
        sys.modules.update(self._modules)
        sys.path[:0] = self._path
        given, searched = tuple(sys.modules), list(sys.path)
        self._entered = True
        try:
            yield
        finally:
            self._entered = False
            if len(sys.modules) != len(given):
                new = set(sys.modules).difference(given)
                self._modules |= {n: sys.modules[n] for n in new if _is_users(sys.modules[n])}
            if sys.path != searched:
                added = [each for each in sys.path if each not in path]
                self._path = list(dict.fromkeys([*added, self.folder]))
            for name in self._modules:
                sys.modules.pop(name, None)
            sys.modules.update(replaced | hidden)
            sys.path[:] = path

    def add(self, module: ModuleType) -> None:
        """Make ``module`` one of the space, under its name."""
        self._modules[module.__name__] = module
        if self._entered:
            sys.modules[module.__name__] = module

    def _conflicting(self) -> dict[str, ModuleType]:
        """The user's modules from elsewhere that stand where one of this folder belongs."""
        found: dict[str, ModuleType] = {}
        for name in self._beside:
            module = sys.modules.get(name)
            if module is None or name in self._modules or not _is_users(module):
                continue
            if not any(_inside(place, self.folder) for place in _places(module)):
                inside = [each for each in sys.modules if each.startswith(f"{name}.")]
                found |= {each: sys.modules[each] for each in (name, *inside)}
        return found


def _places(module: ModuleType) -> list[str]:
    """The file of a module, or the folders of a package without one.

    What stands in ``sys.modules`` may be any object, with attributes made when they are asked for
    (``torch.classes`` has one of every name), so that only what is stored in it counts.
    """
    stored = getattr(module, "__dict__", {})
    folders = stored.get("__path__")
    paths = [stored.get("__file__"), *(folders if isinstance(folders, Iterable) else ())]
    return [os.path.abspath(path) for path in paths if isinstance(path, str)]


def _is_users(module: ModuleType) -> bool:
    return any(map(is_own, _places(module)))


_spaces: dict[int, tuple[Any, Space]] = {}  # by the identity of what a file's target is


def space_of(found: Any) -> Any:
    """What to call ``found`` inside: ``with space_of(found)():``."""
    held = _spaces.get(id(found))
    return held[1] if held is not None and held[0] is found else contextlib.nullcontext


def source_of(target: str) -> str:
    """A digest of the source that ``target`` was made of, as it was when it was imported.

    Of its file, and of the user's modules in the same folder that were imported with it; what is
    imported later, or read, is not seen. Raises ``TargetError``.
    """
    load_target(target)
    name = target.rpartition(":")[0]
    if name.endswith(".py"):
        return _from_file(name, "", None)[1].source
    return _source_of_module(name.partition(".")[0])


@functools.cache
def _source_of_module(top: str) -> str:
    module = sys.modules[top]
    folder = os.path.dirname(next(iter(_places(module)), ""))
    packaged = hasattr(module, "__path__")
    return _source(
        folder,
        [
            each
            for name, each in list(sys.modules.items())
            if not packaged or name.partition(".")[0] == top
        ],
    )


def _source(folder: str, modules: Iterable[ModuleType]) -> str:
    """A digest of the files of ``modules`` that lie in ``folder``, with their names there."""
    digest = hashlib.sha256()
    paths = {path for module in modules for path in _places(module) if os.path.isfile(path)}
    for path in sorted(path for path in paths if is_own(path) and _inside(path, folder)):
        with open(path, "rb") as file:
            content = file.read()
        digest.update(f"{os.path.relpath(path, folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def load_target(target: str, seconds: float | None = None) -> Any:
    """The object that ``target`` names, imported within ``seconds``; raises ``TargetError``."""
    module_name, _, name = target.rpartition(":")
    if not module_name or not name:
        raise TargetError(f"expected MODULE:FACTORY or FILE.py:FACTORY, got {target!r}")
    module, space = _module(module_name, name, seconds)
    found: Any = module
    with contextlib.nullcontext() if space is None else space():
        for part in name.split("."):
            found = _attribute(module, found, part, f"{module_name} has no {name}")
    if not callable(found):
        raise TargetError(f"{target} is a {type(found).__name__}; a factory is callable")
    if space is not None:
        _spaces[id(found)] = found, space
    return found


def _attribute(module: ModuleType, thing: Any, name: str, message: str) -> Any:
    try:
        with foreign(f"looking for {name}"):
            missing = object()
            found = getattr(thing, name, missing)
    except (ForeignError, NotImplementedError) as error:
        raise TargetError(f"{message}: {error}") from error
    if found is not missing:
        return found
    offered = [each for each in vars(module) if not each.startswith("_")]
    near = difflib.get_close_matches(name, offered, n=1)
    raise TargetError(message + (f"; did you mean {near[0]}?" if near else ""))


def _module(name: str, wanted: str, seconds: float | None) -> tuple[ModuleType, Space | None]:
    if name.endswith(".py"):
        return _from_file(name, wanted, seconds)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _importing(name, seconds):
        return importlib.import_module(name), None


@contextlib.contextmanager
def _importing(name: str, seconds: float | None, instead: str = "") -> Iterator[None]:
    """Raise ``TargetError`` for whatever importing ``name`` raises; ``instead`` is better."""
    try:
        with foreign(f"importing {name}", seconds):
            yield
    except NotImplementedError as error:
        raise TargetError(f"importing {name} raised {described(error)}") from error
    except ForeignError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            if not instead and (name == cause.name or name.startswith(f"{cause.name}.")):
                raise TargetError(
                    f"there is no module {name}; it is looked for in the current folder and on "
                    "PYTHONPATH, and FILE.py:FACTORY names a file"
                ) from None
            if cause.name.split(".")[0] == instead.split(".")[0]:
                raise TargetError(f"{error}; use {instead}") from error
            raise TargetError(
                f"importing {name} failed: {cause}{place(cause)}{for_module(cause.name)}"
            ) from error
        if isinstance(cause, ImportError) and "relative import" in str(cause) and instead:
            raise TargetError(
                f"{name} imports relatively, so it is part of a package: use {instead}"
            ) from error
        raise TargetError(str(error)) from error


_files: dict[tuple[str, int, int], tuple[ModuleType, Space]] = {}  # by path, time and size


def _from_file(shown: str, wanted: str, seconds: float | None) -> tuple[ModuleType, Space]:
    """The module in a file, run once as long as the file stays as it is."""
    if not os.path.isfile(shown):
        raise TargetError(f"there is no file {shown}")
    path, state = os.path.abspath(shown), os.stat(shown)
    key = (path, state.st_mtime_ns, state.st_size)
    if key not in _files:
        _files[key] = _run_file(path, shown, seconds, _as_module(path, wanted))
    return _files[key]


def _run_file(
    path: str, shown: str, seconds: float | None, instead: str
) -> tuple[ModuleType, Space]:
    name = os.path.splitext(os.path.basename(path))[0]
    space = Space(os.path.dirname(path))
    importlib.invalidate_caches()
    with space():
        if name in sys.modules or name in sys.stdlib_module_names:
            name = f"_target_{name}"  # Python's, an installed package's or ours: that one stays
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise TargetError(f"{shown} is no file that Python can import")
        module = importlib.util.module_from_spec(spec)
        space.add(module)
        with _importing(shown, seconds, instead):
            spec.loader.exec_module(module)
        space.source = _source(space.folder, [module, *sys.modules.values()])
    return module, space


def _as_module(path: str, wanted: str) -> str:
    """``package.module:FACTORY`` for a file, from the folder that its package lies in."""
    folder, file = os.path.split(path)
    parts = [os.path.splitext(file)[0]]
    while os.path.isfile(os.path.join(folder, "__init__.py")) or len(parts) == 1:
        folder, package = os.path.split(folder)
        if not package:
            break
        parts.insert(0, package)
    where = "" if folder == os.getcwd() else f" in the folder {folder}, or with it on PYTHONPATH"
    return f"{'.'.join(parts)}:{wanted}{where}"


def _offered(folder: str) -> Iterator[str]:
    """The names of the modules and packages in a folder; a folder may be a package."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            stem, dot, _ = entry.name.partition(".")
            if stem.isidentifier() and (entry.name.endswith(".py") or not dot):
                yield stem


def _inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))
