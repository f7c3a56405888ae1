"""A pool of somebody else's making, as `on=`; its workers import this file, so it imports little."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle

from tests.contract.ledger import reached


class Travelling(ProcessPoolExecutor):
    """The standard library's pool of processes, to which lambdas and closures can be sent too."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, mp_context=multiprocessing.get_context("forkserver"))
        self.workers = workers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(_call, cloudpickle.dumps((fn, args, kwargs)))

    def warm_up(self, folder: Path) -> None:
        """Wait until every worker has imported what tests need: executors do not tell when a call starts."""
        assert all(self.map(_arrive, [folder] * self.workers, [self.workers] * self.workers))


def _call(data: bytes) -> Any:
    fn, args, kwargs = pickle.loads(data)
    return fn(*args, **kwargs)


def _arrive(folder: Path, expected: int) -> bool:
    import_module("tests.contract.work")
    asyncio.run(asyncio.sleep(0))
    (folder / str(os.getpid())).touch()
    return reached(lambda: len(os.listdir(folder)) == expected)
