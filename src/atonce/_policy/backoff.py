"""How long to pause before the next attempt, and whether there is one."""

from __future__ import annotations

from collections.abc import Callable

from atonce._model.checks import is_tenacitys
from atonce._model.errors import TaskStopped
from atonce._model.options import Retry
from atonce._policy.tenacity import Attempt

Dice = Callable[[], float]
NEVER_RETRIED = (TaskStopped, KeyboardInterrupt, SystemExit, GeneratorExit)


def pause(retry: Retry, attempt: int, previous: float, dice: Dice) -> float:
    """Seconds to pause after attempt number `attempt` (from 1) failed, when no wait object decides that.

    `previous` is the last pause (0.0 at first), `dice()` a number in [0, 1). Follows Brooker, "Exponential Backoff And
    Jitter" (2015); never more than `max_delay`, and never an overflow however many attempts there were.
    """
    base = retry.base_delay
    assert not callable(base)
    if retry.jitter == "decorrelated":
        low = base
        high = max(low, 3.0 * (previous or low))
        return min(retry.max_delay, low + (high - low) * dice())
    exact = min(retry.max_delay, base * 2.0 ** min(attempt - 1, 62))
    if retry.jitter == "full":
        return exact * dice()
    if retry.jitter == "equal":
        return exact / 2 + exact / 2 * dice()
    return exact


def again(
    retry: Retry, error: BaseException, attempt: int, previous: float, dice: Dice, elapsed: float = 0.0
) -> float | None:
    """Seconds until the next attempt after `error`, or None when this was the last one.

    A predicate's number is taken as it is (Retry-After); True means the usual pause. `elapsed` is seconds since the
    first attempt began, for tenacity's objects, which are asked in tenacity's order: retry, wait, stop.
    """
    if isinstance(error, NEVER_RETRIED) or (not callable(retry.attempts) and attempt >= retry.attempts):
        return None
    seen = Attempt(error, attempt, elapsed)
    if isinstance(retry.retry_on, (type, tuple)):
        wanted: bool | float | int | None = isinstance(error, retry.retry_on)
    else:
        wanted = retry.retry_on(seen if is_tenacitys("retry_base", retry.retry_on) else error)
    if wanted is None or wanted is False:
        return None
    if wanted is not True:
        delay = float(wanted)
    elif callable(retry.base_delay):
        delay = float(retry.base_delay(seen))
    else:
        delay = pause(retry, attempt, previous, dice)
    seen.upcoming_sleep = delay = max(0.0, delay)
    return None if callable(retry.attempts) and retry.attempts(seen) else delay
