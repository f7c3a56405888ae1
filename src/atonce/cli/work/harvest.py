"""`Harvest`: what one call brought, for one item or for many: the bytes to write, and what to count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from atonce.cli.tally import Failure, Tally


@dataclass(slots=True)
class Harvest:
    """`data` is whole lines, `times` are the buckets of `tally.Times`, `failures` have the item that each is of."""

    data: bytes = b""
    ok: int = 0
    times: Counter[int] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    failures: Sequence[tuple[str, Failure]] = ()
    retries: int = 0
    saved: int = 0


def joined(harvests: Iterable[Harvest]) -> Harvest:
    """Several as one."""
    whole = Harvest()
    for one in harvests:
        whole.data += one.data
        whole.ok += one.ok
        whole.times.update(one.times)
        whole.slowest = max(whole.slowest, one.slowest)
        whole.failures = [*whole.failures, *one.failures]
        whole.retries += one.retries
        whole.saved += one.saved
    return whole


def gather(tally: Tally, harvest: Harvest) -> None:
    """Count a harvest."""
    tally.ok += harvest.ok
    tally.retries += harvest.retries
    tally.saved += harvest.saved
    if harvest.times:
        tally.times.add_all(harvest.times)
        tally.slowest = max(tally.slowest, harvest.slowest)
    for item, failure in harvest.failures:
        tally.badly(item, failure)
