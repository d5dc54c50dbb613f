"""Identify an object by its content: equal in every process, different where its code or its values differ.

No address, no order of a set and no seed of Python's hashes enters. Code that lies in a file counts by the source of
its module, other code by its compiled form, which differs between minor versions of Python.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from leakybench.errors import UsageError
from leakybench.provenance.files import STATED, file_of, is_local, release_of
from leakybench.provenance.syntax import PACKAGE

MAX_OBJECTS = 100_000
"""Number of objects that are looked at within one."""

ADVICE = "make it inside fit, or put it into a class or function of a module and register that"

SKIPPED = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate__", "_abc_impl"}
)
SKIPPED |= {"__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__", "__slots__"}
"""Members of a class that hold none of its behaviour."""

ATOMS = (type(None), bool, int, float, complex, str, bytes, bytearray, range, type(...), type(NotImplemented))


class Content:
    """Digests of values, and the modules whose source counts besides.

    Attributes:
        modules: names of the local modules that hold code of the values.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self._seen: dict[tuple[int, bool], tuple[Any, bytes]] = {}
        self._inside: list[int] = []

    def digest(self, value: object, place: str) -> str:
        """Return the digest of a value.

        Args:
            value: any object.
            place: what the user calls it, for the message.

        Raises:
            UsageError: it holds something whose content cannot be told, such as an open file or a generator.
        """
        try:
            return self._of(value, place, strict=True).hex()
        except RecursionError:
            raise UsageError(f"{place} is nested too deeply to be identified: {ADVICE}") from None

    def _of(self, value: Any, place: str, *, strict: bool) -> bytes:
        if type(value) in ATOMS:
            return _hash(type(value).__name__, repr(value))
        if id(value) in self._inside:  # within itself, an object counts by how far above it stands
            return _hash("above", str(len(self._inside) - self._inside.index(id(value))))
        key = id(value), strict
        if key not in self._seen:
            if len(self._seen) >= MAX_OBJECTS:
                raise UsageError(f"{place} holds more than {MAX_OBJECTS} objects, too many to identify it by: {ADVICE}")
            self._inside.append(id(value))
            try:
                self._seen[key] = value, self._composed(value, place, strict=strict)
            finally:
                self._inside.pop()
        return self._seen[key][1]

    def _composed(self, value: Any, place: str, *, strict: bool) -> bytes:
        for kinds, method in self._methods().items():
            if isinstance(value, kinds):
                return method(value, place, strict)
        if isinstance(value, np.ndarray | np.generic) or _is_tensor(value):
            return self._array(value, place, strict)
        return self._object(value, place, strict)

    def _methods(self) -> dict[Any, Callable[[Any, str, bool], bytes]]:
        return {
            list | tuple: self._items,
            set | frozenset: lambda value, place, strict: _hash("set", *sorted(self._all(value, place, strict))),
            (dict, types.MappingProxyType): self._mapping,
            type: self._class,
            types.ModuleType: self._module,
            types.FunctionType: self._function,
            types.BuiltinFunctionType: self._builtin,
            types.MethodType: lambda value, place, strict: _hash(
                "method", *self._all((value.__func__, value.__self__), place, strict)
            ),
            functools.partial: self._partial,
            types.CodeType: self._code,
            types.CellType: self._cell,
            property: lambda value, place, strict: _hash(
                "property", *self._all((value.fget, value.fset, value.fdel), place, strict)
            ),
            (staticmethod, classmethod): lambda value, place, strict: _hash(
                type(value).__name__, self._of(value.__func__, place, strict=strict)
            ),
        }

    def _all(self, values: Iterable[Any], place: str, strict: bool) -> list[bytes]:
        return [self._of(value, place, strict=strict) for value in values]

    def _items(self, value: Any, place: str, strict: bool) -> bytes:
        kind = b"" if type(value) in (list, tuple) else self._of(type(value), place, strict=strict)
        name = "list" if isinstance(value, list) else "tuple"
        return _hash(name, kind, *self._all(value, place, strict))

    def _mapping(self, value: Any, place: str, strict: bool) -> bytes:
        kind = b"" if type(value) in (dict, types.MappingProxyType) else self._of(type(value), place, strict=strict)
        parts = [kind]
        for key, item in value.items():  # in their order, which may decide how a model is built
            inner = f"{place}.{key}" if isinstance(key, str) and key.isidentifier() else place
            parts += [self._of(key, place, strict=strict), self._of(item, inner, strict=strict)]
        return _hash("mapping", *parts)

    def _named(self, values: Mapping[str, Any], place: str, strict: bool) -> bytes:
        """Values by name, whatever their order: attributes and keyword arguments."""
        return self._mapping(dict(sorted(values.items(), key=lambda item: str(item[0]))), place, strict)

    def _array(self, value: Any, place: str, strict: bool) -> bytes:
        if _is_tensor(value):
            if value.layout is not sys.modules["torch"].strided:
                value = value.to_dense()
            shape, kind = tuple(value.shape), str(value.dtype)
            array = value.detach().cpu().contiguous().reshape(-1).view(sys.modules["torch"].uint8).numpy()
        else:
            shape, kind, array = value.shape, str(value.dtype), np.asarray(value)
            if array.dtype.hasobject:
                return _hash("objects", repr(shape), *self._all(array.ravel().tolist(), place, strict))
        return _hash("array", kind, repr(shape), np.ascontiguousarray(array).tobytes())

    def _module(self, value: types.ModuleType, place: str, strict: bool) -> bytes:
        self._note(value.__name__)
        top = value.__name__.split(".")[0]
        outside = top not in STATED and top != PACKAGE and top not in sys.stdlib_module_names
        return _hash("module", value.__name__, (release_of(top) or "") if outside else "")

    def _note(self, module: str) -> None:
        top = module.split(".")[0]
        if top != PACKAGE and (module == "__main__" or is_local(top)) and file_of(module) is not None:
            self.modules.add(module)

    def _class(self, value: type, place: str, strict: bool) -> bytes:
        if is_importable(value):
            self._note(value.__module__)
            home = "" if value.__module__ in self.modules else value.__module__
            return _hash("class", home, value.__qualname__)
        members = {name: member for name, member in vars(value).items() if name not in SKIPPED}
        self._note(value.__module__)
        bases = self._all(value.__bases__, place, strict=False)
        return _hash("class", value.__name__, *bases, self._named(members, place, strict=False))

    def _function(self, value: types.FunctionType, place: str, strict: bool) -> bytes:
        self._note(value.__module__ or "")
        if is_importable(value) and value.__closure__ is None:
            home = "" if value.__module__ in self.modules else value.__module__
            return _hash("function", home, value.__qualname__)
        cells = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
        parts = [
            self._code(value.__code__, place, strict, doc=value.__doc__),
            self._of(value.__defaults__, place, strict=strict),
            self._named(value.__kwdefaults__ or {}, place, strict),
            self._named(cells, place, strict),
            self._named(vars(value), place, strict),
        ]
        if file_of(value.__module__ or "") is None:  # of a notebook: what it calls lies in no file either
            used = {name: value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__}
            parts.append(self._named(used, place, strict=False))
        return _hash("function", *parts)

    def _builtin(self, value: Any, place: str, strict: bool) -> bytes:
        owner = value.__self__
        bound = b"" if owner is None or isinstance(owner, types.ModuleType) else self._of(owner, place, strict=strict)
        return _hash("builtin", str(value.__module__), value.__qualname__, bound)

    def _partial(self, value: Any, place: str, strict: bool) -> bytes:
        parts = [self._of(value.func, place, strict=strict), *self._all(value.args, place, strict)]
        return _hash("partial", *parts, self._named(value.keywords, place, strict))

    def _code(self, value: types.CodeType, place: str, strict: bool, doc: str | None = None) -> bytes:
        constants = list(value.co_consts)
        if constants and doc is not None and constants[0] == doc:
            constants[0] = None
        counts = value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags
        names = value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars
        return _hash("code", value.co_code, repr(counts), repr(names), *self._all(constants, place, strict))

    def _cell(self, value: Any, place: str, strict: bool) -> bytes:
        try:
            return self._of(value.cell_contents, place, strict=strict)
        except ValueError:
            return _hash("empty cell")

    def _object(self, value: Any, place: str, strict: bool) -> bytes:
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and type(value).__name__ == "_lru_cache_wrapper":
            return _hash("cached", self._of(wrapped, place, strict=strict))
        try:
            known = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(4) if known is None else known(value)
        except Exception:  # whatever foreign code raises there
            if strict:
                kind = type(value).__name__
                raise UsageError(
                    f"{place} is of type {kind}, which cannot be identified by content: {ADVICE}"
                ) from None
            return _hash("opaque", type(value).__qualname__)
        if isinstance(reduced, str):
            return _hash("global", type(value).__module__, reduced)
        maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        if isinstance(state, dict):
            state = dict(sorted(state.items(), key=lambda item: str(item[0])))
        parts = maker, arguments, state, None if items is None else list(items), None if pairs is None else dict(pairs)
        return _hash("object", *self._all((type(value), *parts), place, strict))


def is_importable(value: Any) -> bool:
    """Whether a class or function is found by its name in a module that has a file, or is part of a library."""
    module, qualname = getattr(value, "__module__", None) or "", getattr(value, "__qualname__", "<locals>")
    found: Any = sys.modules.get(module)
    if module != PACKAGE and not module.startswith(f"{PACKAGE}."):
        top = module.split(".")[0]
        if file_of(module) is None and (module == "__main__" or not (_is_builtin(top) or release_of(top))):
            return False
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_builtin(top: str) -> bool:
    return top == "builtins" or top in sys.stdlib_module_names


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(value, torch.Tensor)


def _names(code: types.CodeType) -> set[str]:
    """The global names that a function and those inside it may use."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _hash(*parts: str | bytes) -> bytes:
    hasher = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.digest()
