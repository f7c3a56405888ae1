"""SIGTERM: the outermost supervisors let their work end, stop in good order, and then the program exits with 143."""

from __future__ import annotations

import signal

from tests.blocking.scripts import interrupt


def test_the_work_ends_by_itself_then_all_stops_in_order_then_the_program_exits() -> None:
    ended = interrupt(
        """
        import asyncio, atonce
        async def request():
            print("ready", flush=True)
            try:
                await asyncio.sleep(0.3)
                print("answered", flush=True)
            except asyncio.CancelledError:
                print("cut", flush=True)
        async def watch(name):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                print("stopped", name, flush=True)
        async def main():
            specs = [atonce.Child(watch, name) for name in ("first", "second")]
            async with atonce.Supervisor(children=specs, drain=5.0) as sup:
                await asyncio.sleep(0.1)
                sup.start_child(watch, "dynamic", restart="permanent")
                sup.spawn_nolink(request)
                try:
                    await asyncio.Event().wait()
                finally:
                    print("block left", flush=True)
        asyncio.run(main())
        """,
        says="ready",
        how=signal.SIGTERM,
    )
    assert ended.code == 143, ended.err
    assert ended.out.split("\n")[1:] == [
        "answered",
        "stopped dynamic",
        "stopped second",
        "stopped first",
        "block left",
        "",
    ]
    assert ended.err == ""
    assert ended.seconds < 20


def test_the_drain_is_bounded_and_without_one_work_is_stopped_at_once() -> None:
    for drain in (0.0, 1.0):
        ended = interrupt(
            f"""
            import asyncio, atonce
            async def request():
                print("ready", flush=True)
                try:
                    await asyncio.sleep(60)
                finally:
                    print("cut", flush=True)
            async def main():
                async with atonce.Supervisor(drain={drain}) as sup:
                    sup.spawn_nolink(request)
                    await asyncio.Event().wait()
            asyncio.run(main())
            """,
            says="ready",
            how=signal.SIGTERM,
        )
        assert ended.code == 143, ended.err
        assert ended.out.endswith("cut\n")
        assert drain * 0.9 <= ended.seconds < 20, "the work itself would take a minute"


def test_work_under_a_supervisor_further_down_is_drained_too() -> None:
    ended = interrupt(
        """
        import asyncio, atonce
        async def request():
            print("ready", flush=True)
            await asyncio.sleep(0.3)
            print("answered", flush=True)
        inner = atonce.Supervisor()
        async def main():
            async with atonce.Supervisor(children=[atonce.Child(inner)], drain=5.0):
                inner.spawn_nolink(request)
                await asyncio.Event().wait()
        asyncio.run(main())
        """,
        says="ready",
        how=signal.SIGTERM,
    )
    assert ended.code == 143, ended.err
    assert ended.out.endswith("answered\n")


def test_of_blocks_within_each_other_the_inner_one_is_over_before_the_outer_one_begins_to_stop() -> None:
    ended = interrupt(
        """
        import asyncio, atonce
        async def watch(name):
            try:
                await asyncio.Event().wait()
            finally:
                print("stopping", name, flush=True)
                await asyncio.sleep(0.1)
                print("stopped", name, flush=True)
        async def main():
            async with atonce.Supervisor() as outer, atonce.Supervisor() as inner:
                outer.start_child(watch, "outer")
                inner.start_child(watch, "inner")
                await asyncio.sleep(0.1)
                print("ready", flush=True)
                await asyncio.Event().wait()
        asyncio.run(main())
        """,
        says="ready",
        how=signal.SIGTERM,
    )
    assert ended.code == 143, ended.err
    assert ended.out.split("\n")[1:] == [
        *("stopping inner", "stopped inner", "stopping outer", "stopped outer"),
        "",
    ]


def test_a_second_sigterm_does_not_wait() -> None:
    ended = interrupt(
        """
        import asyncio, atonce
        async def request():
            print("ready", flush=True)
            await asyncio.sleep(60)
        async def main():
            async with atonce.Supervisor(drain=60.0) as sup:
                sup.spawn_nolink(request)
                await asyncio.Event().wait()
        asyncio.run(main())
        """,
        says="ready",
        how=signal.SIGTERM,
        times=2,
    )
    assert ended.code == -signal.SIGTERM
    assert ended.seconds < 20


def test_the_blocking_face_drains_too() -> None:
    ended = interrupt(
        """
        import asyncio, time
        from atonce import blocking as atonce
        async def request():
            print("ready", flush=True)
            await asyncio.sleep(0.3)
            print("answered", flush=True)
        with atonce.Supervisor(drain=5.0) as sup:
            sup.spawn_nolink(request)
            time.sleep(60)
        """,
        says="ready",
        how=signal.SIGTERM,
    )
    assert ended.code == 143, ended.err
    assert ended.out.endswith("answered\n")


def test_a_program_that_is_cancelled_as_a_whole_restarts_nothing_and_does_not_give_up() -> None:
    ended = interrupt(
        """
        import asyncio, atonce
        runs = 0
        async def watch():
            global runs
            runs += 1
            await asyncio.Event().wait()
        async def main():
            try:
                async with atonce.Supervisor(max_restarts=1) as sup:
                    for _ in range(9):
                        sup.start_child(watch, restart="permanent")
                    await asyncio.sleep(0.1)
                    print("ready", flush=True)
                    await asyncio.Event().wait()
            except BaseException as error:
                print(type(error).__name__, runs, flush=True)
                raise
        async def all_at_once():
            loop = asyncio.get_running_loop()
            task = asyncio.create_task(main())
            loop.add_signal_handler(15, lambda: [one.cancel() for one in asyncio.all_tasks()])
            await asyncio.wait([task])
        asyncio.run(all_at_once())
        """,
        says="ready",
        how=signal.SIGTERM,
    )
    assert "CancelledError 9" in ended.out, ended.err
