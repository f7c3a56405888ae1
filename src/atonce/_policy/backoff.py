"""How long to pause before the next attempt, and whether there is one."""

from __future__ import annotations

from collections.abc import Callable

from atonce._model.errors import TaskStopped
from atonce._model.options import Retry

Dice = Callable[[], float]
NEVER_RETRIED = (TaskStopped, KeyboardInterrupt, SystemExit, GeneratorExit)


def pause(retry: Retry, attempt: int, previous: float, dice: Dice) -> float:
    """Seconds to pause after attempt number `attempt` (from 1) failed.

    `previous` is the last pause (0.0 at first), `dice()` a number in [0, 1). Follows Brooker, "Exponential Backoff And
    Jitter" (2015); never more than `max_delay`, and never an overflow however many attempts there were.
    """
    if retry.jitter == "decorrelated":
        low = retry.base_delay
        high = max(low, 3.0 * (previous or low))
        return min(retry.max_delay, low + (high - low) * dice())
    exact = min(retry.max_delay, retry.base_delay * 2.0 ** min(attempt - 1, 62))
    if retry.jitter == "full":
        return exact * dice()
    if retry.jitter == "equal":
        return exact / 2 + exact / 2 * dice()
    return exact


def again(retry: Retry, error: BaseException, attempt: int, previous: float, dice: Dice) -> float | None:
    """Seconds until the next attempt after `error`, or None when this was the last one.

    A predicate's number is taken as it is (Retry-After); True means the usual pause.
    """
    if attempt >= retry.attempts or isinstance(error, NEVER_RETRIED):
        return None
    if isinstance(retry.retry_on, (type, tuple)):
        wanted: bool | float | int | None = isinstance(error, retry.retry_on)
    else:
        wanted = retry.retry_on(error)
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        return pause(retry, attempt, previous, dice)
    return max(0.0, float(wanted))
