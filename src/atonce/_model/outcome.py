"""How a task ended, as a value: `Ok(value)` or `Failed(error)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")
T = TypeVar("T")


class _OkDraft(Generic[T_co]):
    """An `Ok` while it is being made: the same slots, still writable."""

    __slots__ = ("_instead", "attempts", "elapsed", "index", "input", "value")

    def __init__(
        self,
        value: T_co,
        index: int | None,
        input: Any,
        attempts: int,
        elapsed: float,
        instead: BaseException | bool = False,
    ) -> None:
        self.value: T_co = value
        self.index: int | None = index
        self.input: Any = input
        self.attempts: int = attempts
        self.elapsed: float = elapsed
        #: Whether the value is a fallback's; the error in whose place it stands, where that is known.
        self._instead: BaseException | bool = instead


class Ok(_OkDraft[T_co]):
    """A task that returned `value`.

    Frozen, comparable by `value`, picklable, for `match`: `case Ok(value)`. Beside the value, and outside equality:
    `index` and `input` of the item (streams), `attempts` used, `elapsed` seconds of the last attempt, `fallback`
    (True when the value is a fallback's and the work itself failed), and `error`: what it failed with then, else None.
    A copy that was pickled knows `fallback` and not `error`.

    >>> Ok(3).unwrap()
    3
    """

    __slots__ = ()
    __match_args__ = ("value",)

    ok: Literal[True]

    def __init__(
        self,
        value: T_co,
        *,
        index: int | None = None,
        input: Any = None,
        attempts: int = 1,
        elapsed: float = 0.0,
        fallback: bool = False,
        error: BaseException | None = None,
    ) -> None:
        if error is not None and not fallback:
            raise ValueError("an Ok has an error only as a fallback: Ok(value, fallback=True, error=error)")
        slots = {"value": value, "index": index, "input": input, "attempts": attempts, "elapsed": elapsed}
        _fill(self, **slots, _instead=bool(fallback) if error is None else error)

    @property
    def fallback(self) -> bool:
        """Whether the value is a fallback's, and the work itself failed."""
        return self._instead is not False

    @property
    def error(self) -> BaseException | None:
        """What the work failed with, where a fallback's value stands in for it; None where it succeeded."""
        return self._instead if isinstance(self._instead, BaseException) else None

    def unwrap(self) -> T_co:
        """Give the value."""
        return self.value

    def unwrap_or(self, default: object) -> T_co:
        """Give the value; `default` is for `Failed`."""
        return self.value

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if isinstance(other, Ok) else NotImplemented

    def __hash__(self) -> int:
        return hash((Ok, self.value))

    def __repr__(self) -> str:
        return f"Ok({self.value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return make_ok, (self.value, self.index, self.input, self.attempts, self.elapsed, self.fallback)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise _frozen("Ok", name)

    def __delattr__(self, name: str) -> NoReturn:
        raise _frozen("Ok", name)


class _FailedDraft:
    """A `Failed` while it is being made: the same slots, still writable."""

    __slots__ = ("_place", "attempts", "elapsed", "error", "index", "input")

    def __init__(
        self, error: BaseException, index: int | None, input: Any, attempts: int, elapsed: float
    ) -> None:
        self.error: BaseException = error
        self.index: int | None = index
        self.input: Any = input
        self.attempts: int = attempts
        self.elapsed: float = elapsed
        self._place: TracebackType | None = error.__traceback__


class Failed(_FailedDraft):
    """A task that ended with `error`: the user's own exception, `TaskTimeout`, `TaskStopped`, `WorkerLost`, ...

    Frozen, comparable by `error`, picklable, for `match`: `case Failed(error)`. Beside the error, and outside
    equality: `index`, `input`, `attempts`, `elapsed`, as in `Ok`.

    >>> Failed(ValueError("no")).unwrap_or(0)
    0
    """

    __slots__ = ()
    __match_args__ = ("error",)

    ok: Literal[False]

    def __init__(
        self,
        error: BaseException,
        *,
        index: int | None = None,
        input: Any = None,
        attempts: int = 1,
        elapsed: float = 0.0,
    ) -> None:
        place = error.__traceback__
        _fill(self, error=error, index=index, input=input, attempts=attempts, elapsed=elapsed, _place=place)

    def unwrap(self) -> NoReturn:
        """Raise the error; a `StopIteration`, which would end a loop silently, as `RuntimeError` from it."""
        error, place = self.error, self._place
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            raise RuntimeError(f"the task raised {type(error).__name__}") from error
        try:
            raise error.with_traceback(place)
        finally:
            del self, error

    def unwrap_or(self, default: D) -> D:
        """Give `default`."""
        return default

    @property
    def fallback(self) -> bool:
        """False: only an `Ok` can hold a fallback."""
        return False

    def __eq__(self, other: object) -> bool:
        return self.error == other.error if isinstance(other, Failed) else NotImplemented

    def __hash__(self) -> int:
        return hash((Failed, self.error))

    def __repr__(self) -> str:
        try:
            return f"Failed({self.error!r})"
        except Exception:
            return f"Failed(<unprintable {type(self.error).__name__}>)"

    def __reduce__(self) -> tuple[Any, ...]:
        return make_failed, (self.error, self.index, self.input, self.attempts, self.elapsed)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise _frozen("Failed", name)

    def __delattr__(self, name: str) -> NoReturn:
        raise _frozen("Failed", name)


Ok.ok = True
Failed.ok = False

Outcome: TypeAlias = Ok[T] | Failed


def make_ok(
    value: T,
    index: int | None,
    input: Any,
    attempts: int,
    elapsed: float,
    instead: BaseException | bool = False,
) -> Ok[T]:
    """Make an `Ok` by position, about 0.15 us: fill the draft, then freeze it by giving it its class.

    Setting six slots of a frozen object one by one costs three times as much, and every item of a stream pays it.
    """
    draft: Any = _OkDraft(value, index, input, attempts, elapsed, instead)
    draft.__class__ = Ok
    frozen: Ok[T] = draft
    return frozen


def make_failed(error: BaseException, index: int | None, input: Any, attempts: int, elapsed: float) -> Failed:
    """Make a `Failed` by position; see `make_ok`."""
    draft: Any = _FailedDraft(error, index, input, attempts, elapsed)
    draft.__class__ = Failed
    frozen: Failed = draft
    return frozen


def _fill(frozen: object, **slots: object) -> None:
    for name, value in slots.items():
        object.__setattr__(frozen, name, value)


def _frozen(kind: str, name: str) -> AttributeError:
    return AttributeError(f"an outcome is frozen: cannot set {kind}.{name}; make a new {kind}(...) instead")
