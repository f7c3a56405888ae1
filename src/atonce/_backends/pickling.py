"""Values as pickles that survive the journey between processes, or say why they cannot make it.

Whoever can write to a worker's pipe can run code, as always with pickle; only a process and the workers that it
started hold the ends.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from struct import Struct
from traceback import format_exception, format_exception_only
from types import FunctionType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types

#: Values that plain pickle carries whole, and that load wherever they arrive.
PLAIN = frozenset({int, float, str, bytes, bool, type(None), complex})
#: In a pickle of protocol 5 without this byte there is no name to look up: nothing in it can fail to load.
_LOOK_UP = b"\x93"
_MAIN = b"__main__"
#: The pickle of bytes: PROTO, 5, BINBYTES8, length, and behind the bytes STOP.
_BYTES = Struct("<BBBQ")
_PROTO, _BINBYTES8 = 0x80, 0x8E
#: A pickler writes what is larger than a frame (64 KiB, and less than that beside it) as it is, apart from the opcodes.
_LONGEST_FRAME = 200_000
#: A message longer than this is cut: an exception must not fill the memory of whoever hears of it.
LONGEST = 100_000
#: The recursion limit while an exception is pickled.
DEEPEST = 5_000


class CannotTravel(Exception):
    """A value that cannot be pickled; the message says which part and what to do."""


# -- values -------------------------------------------------------------------------------------------------------


def dump(value: Any, buffers: list[Any] | None = None) -> bytes:
    """Pickle `value`; what offers its memory (NumPy arrays, ...) goes into `buffers` without a copy.

    Plain pickle does it where it can, some ten times as fast as cloudpickle, which is needed for what lives in
    `__main__`, in a function or in a lambda.
    """
    if type(value) in PLAIN:
        return pickle.dumps(value, 5)
    keep = None if buffers is None else _keeper(buffers)
    try:
        data = pickle.dumps(value, 5, buffer_callback=keep)
        if _MAIN not in data and not cloudpickle.list_registry_pickle_by_value():
            return data
    except Exception:
        data = b""
    if buffers:
        buffers.clear()
    return dump_whole(value, keep)


class _Pieces:
    """A file for a pickler, which gives it what is large as it is."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes | memoryview) -> None:
        self.pieces.append(piece if isinstance(piece, bytes) else bytes(piece))


def dump_large(value: Any, buffers: list[Any]) -> list[bytes]:
    """As `dump`, in pieces, so that large bytes are not copied; slower where there are none."""
    if type(value) is bytes:
        return [_BYTES.pack(_PROTO, 5, _BINBYTES8, len(value)), value, b"."]
    out = _Pieces()
    try:
        pickle.Pickler(out, 5, buffer_callback=_keeper(buffers)).dump(value)
        if not any(map(_names_main, out.pieces)) and not cloudpickle.list_registry_pickle_by_value():
            return out.pieces
    except Exception:
        out.pieces.clear()
    buffers.clear()
    return [dump_whole(value, _keeper(buffers))]


def _names_main(piece: bytes) -> bool:
    return len(piece) <= _LONGEST_FRAME and _MAIN in piece


def _keeper(buffers: list[Any]) -> Callable[[pickle.PickleBuffer], bool]:
    """Take what is one piece of memory out of the pickle; the rest stays in it."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            buffers.append(buffer.raw())
        except BufferError:
            return True
        return False

    return keep


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle with exceptions that are rebuilt without calling an `__init__` of odd arguments."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            if _has_plain_reduce(type(obj)):
                return _taken_apart(obj, obj.__reduce__())
            return _in_its_own_way(obj, obj.__reduce_ex__(5))
        return super().reducer_override(obj)


class _TakingApart(_Pickler):
    """The same for exceptions whose own ways of being pickled failed."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return _taken_apart(obj, BaseException.__reduce__(obj))
        return super().reducer_override(obj)


def dump_whole(
    value: Any, keep: Callable[[pickle.PickleBuffer], bool] | None = None, pickler: type[_Pickler] = _Pickler
) -> bytes:
    """Pickle by cloudpickle, and say what cannot travel."""
    out = BytesIO()
    try:
        pickler(out, protocol=5, buffer_callback=keep).dump(value)
    except RecursionError as error:
        raise CannotTravel("it is nested too deeply to be pickled") from error
    except Exception as error:
        raise CannotTravel(f"{offender(value)}: {one_line(error)}") from error
    return out.getvalue()


def dump_list(values: list[Any]) -> bytes:
    """Pickle numbers and texts together."""
    return pickle.dumps(values, 5)


def load(data: Any, buffers: list[Any] | None = None) -> Any:
    """Make the value again; raises whatever its own code raises."""
    return pickle.loads(data, buffers=buffers)


loads = pickle.loads


def loads_anywhere(data: bytes | list[bytes]) -> bool:
    """Whether a pickle holds nothing but numbers, texts and containers of them."""
    if isinstance(data, bytes):
        return _LOOK_UP not in data
    return not any(len(piece) <= _LONGEST_FRAME and _LOOK_UP in piece for piece in data)


def offender(value: Any, depth: int = 4) -> str:
    """Name the part of `value` that cannot be pickled, as a path from it."""
    path = ""
    for _ in range(depth):
        for name, part in _parts(value):
            if not _can_travel(part):
                path, value = path + name, part
                break
        else:
            break
    return f"{path.lstrip('.')} is a {type(value).__name__}" if path else f"a {type(value).__name__}"


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What a value is made of, with the names by which a reader knows the parts."""
    if isinstance(value, (tuple, list)):
        return [(f"[{place}]", part) for place, part in enumerate(value)]
    if isinstance(value, dict):
        return [(f"[{key!r:.40}]", part) for key, part in value.items()]
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        return [(f".closure[{name!r}]", _content(cell)) for name, cell in cells]
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()]


def _content(cell: Any) -> Any:
    with suppress(ValueError):  # a variable that was not set yet
        return cell.cell_contents
    return None


def _can_travel(value: Any) -> bool:
    try:
        cloudpickle.dumps(value, protocol=5)
    except Exception:
        return False
    return True


# -- exceptions ---------------------------------------------------------------------------------------------------


def dump_error(error: BaseException) -> bytes:
    """Pickle an exception with what can be told about it where it cannot be made again: (name, message, text, whole).

    What does not survive the journey is left out, piece by piece: first its causes, then attributes, last itself.
    """
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    told = (name, message_of(error), traceback_of(error))
    whole = _checked(error, _Pickler)
    if whole is None:
        _strip(error)
        whole = (
            _checked(error, _Pickler)
            or _checked(error, _TakingApart)
            or _checked(_flattened(error), _TakingApart)
        )
    return pickle.dumps((*told, whole), 5)


def load_error(data: Any) -> tuple[str, str, str, BaseException | None]:
    """The other way: (name, message, traceback as text, the exception, or None where it cannot be had here)."""
    name, message, text, whole = pickle.loads(data)
    if whole is None:
        return name, message, text, None
    try:
        error = pickle.loads(whole)
    except Exception:
        error = None
    return name, message, text, error if isinstance(error, BaseException) else None


def _checked(error: BaseException, pickler: type[_Pickler]) -> bytes | None:
    """The pickle of an exception that was loaded again to see that it can be."""
    try:
        with _deeper():
            data = dump_whole(error, pickler=pickler)
        return data if type(pickle.loads(data)).__name__ == type(error).__name__ else None
    except BaseException:
        return None


@contextmanager
def _deeper() -> Iterator[None]:
    """Allow what is nested some hundreds deep, each level of which takes several calls to pickle."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(max(usual, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _strip(error: BaseException) -> None:
    """Take off what may have kept an exception, or one of a group, from travelling."""
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        _strip(member)
    with suppress(Exception):
        for name in _BEHIND[:2]:
            object.__setattr__(error, name, None)
        for name, part in list(vars(error).items()):
            if not _can_travel(part):
                object.__delattr__(error, name)


def _flattened(error: BaseException) -> BaseException:
    """A group of groups too deep to be pickled (Python 3.12 has a fixed limit) as one group of all its members."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    members: list[BaseException] = []
    inside: list[BaseException] = [error]
    while inside:
        one = inside.pop()
        if isinstance(one, BaseExceptionGroup):
            inside.extend(reversed(one.exceptions))
        else:
            members.append(one)
    flat = error.derive(members)
    flat.add_note("atonce: its groups were nested too deeply to travel; their members are all here")
    return flat


def _has_plain_reduce(kind: type[BaseException]) -> bool:
    """Whether it leaves its pickling to the built-in exception types, which call `__init__` again."""
    return not any(name in vars(one) for one in kind.__mro__ if not _is_builtin(one) for name in _OWN_WAYS)


_OWN_WAYS = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
)


def _is_builtin(kind: type) -> bool:
    return kind.__module__ == "builtins"


_BEHIND = ("__cause__", "__context__", "__suppress_context__")


def _taken_apart(error: BaseException, reduced: Any) -> tuple[Any, ...]:
    attributes = reduced[2] if len(reduced) > 2 else None
    state = (attributes, error.__cause__, error.__context__, error.__suppress_context__)
    made_of: tuple[Any, ...] = (type(error), reduced[1])
    if isinstance(error, BaseExceptionGroup) and "__new__" in vars(type(error)):
        made_of += ((error.message, error.exceptions),)  # its `__new__` may take other arguments
    return put_together, made_of, state, None, None, set_state


def _in_its_own_way(error: BaseException, reduced: Any) -> Any:
    """What a class of exceptions makes of one itself, and beside it the notes and causes, of which it knows nothing."""
    behind = tuple(getattr(error, name) for name in _BEHIND)
    notes = getattr(error, "__notes__", None)
    if not isinstance(reduced, tuple) or len(reduced) > 3 or not (notes or any(behind)):
        return reduced
    own = reduced[2] if len(reduced) > 2 else None
    return *reduced[:2], (own, notes, *behind), None, None, set_own_state


def set_own_state(error: Any, state: tuple[Any, ...]) -> None:
    """Give it back its own state, its notes, causes and context."""
    own, notes, *behind = state
    if own is not None:
        error.__setstate__(own)
    for name, value in zip(("__notes__", *_BEHIND), (notes, *behind), strict=True):
        if name != "__notes__" or notes:
            object.__setattr__(error, name, value)


def put_together(
    kind: type[BaseException], args: tuple[Any, ...], group: tuple[Any, ...] | None = None
) -> BaseException:
    """Make an exception of `kind` without calling an `__init__` that was written in Python."""
    builtin = next(one for one in kind.__mro__ if _is_builtin(one))
    made: BaseException = _made(kind, builtin, args if group is None else group)
    with suppress(
        Exception
    ):  # some built-in types want arguments of a certain form; those are set below all the same
        getattr(builtin, "__init__")(made, *args)  # noqa: B009  # the built-in one, whatever its subclass has
    if made.args != args and not isinstance(made, OSError):
        made.args = args
    return made


def _made(kind: type[BaseException], builtin: Any, args: tuple[Any, ...]) -> BaseException:
    if all("__new__" not in vars(one) for one in kind.__mro__ if not _is_builtin(one)):
        with suppress(TypeError, ValueError):  # an ExceptionGroup's arguments were changed
            plain: BaseException = kind.__new__(kind, *args)
            return plain
    other: BaseException = builtin.__new__(kind, *args)
    return other


def set_state(error: BaseException, state: tuple[Any, ...]) -> None:
    """Give it back its attributes, causes and context."""
    attributes, *behind = state
    for name, value in zip(_BEHIND, behind, strict=True):
        object.__setattr__(
            error, name, value
        )  # whatever its own `__setattr__` refuses, as that of a frozen dataclass
    if isinstance(attributes, dict):
        for name, value in attributes.items():
            with suppress(Exception):  # a read-only attribute is what `__new__` made it
                object.__setattr__(error, name, value)


def message_of(error: BaseException) -> str:
    """`str(error)`, whatever its `__str__` does."""
    try:
        return str(error)[:LONGEST]
    except BaseException:
        return f"<unprintable {type(error).__name__}>"


def one_line(error: BaseException) -> str:
    """Type and message on one line."""
    return f"{type(error).__name__}: {' '.join(message_of(error).split())[:300]}"


def traceback_of(error: BaseException) -> str:
    """The traceback as text, without the frames of whoever called the user's function."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(
            "atonce._backends."
        ):
            trace = trace.tb_next
        return "".join(format_exception(type(error), error, trace))[:LONGEST]
    except BaseException:
        with suppress(BaseException):
            return "".join(format_exception_only(type(error), error))[:LONGEST]
        return ""
