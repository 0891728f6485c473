"""Turns at the super cluster: who has the fewest requests under way comes next."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import pytest

from kube.transport import Response, Stream
from syncer.runtime.fair_share import FairTransport, on_behalf_of
from tests.fakes.waiting import eventually

OK = Response(200, None, b"")
TURNS = 5
"""Of the event loop: more than an answer takes to let the next request through."""


class Server:
    """Answers a request when it is told to; remembers who asked, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._open: list[asyncio.Future[Response]] = []

    @property
    def under_way(self) -> int:
        return len(self._open)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        self.asked.append(target)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._open.append(answer)
        try:
            return await answer
        finally:
            if answer in self._open:
                self._open.remove(answer)

    def answer(self, place: int = 0) -> None:
        self._open.pop(place).set_result(OK)

    def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Crowd:
    """Tenants that ask a server through turns of which there are ``limit`` at a time."""

    def __init__(self, limit: int) -> None:
        self.server = Server()
        self._transport = FairTransport(self.server, limit)

    async def ask(self, tenant: str) -> "asyncio.Task[Response]":
        """Begin a request; it is under way, or waits, when this returns."""

        async def request() -> Response:
            on_behalf_of.set(tenant)
            return await self._transport.request("GET", tenant, {}, b"", 5.0)

        task = asyncio.create_task(request())
        await asyncio.sleep(0)
        return task

    async def answers(self, number: int = 1) -> None:
        """The server answers the oldest ones, one after the other; each time the next comes through."""
        for _ in range(number):
            self.server.answer()
            for _ in range(TURNS):
                await asyncio.sleep(0)


async def test_a_quiet_tenant_passes_a_loud_ones_line() -> None:
    crowd = Crowd(2)
    loud = [await crowd.ask("loud") for _ in range(5)]
    quiet = await crowd.ask("quiet")
    assert crowd.server.asked == ["loud", "loud"]
    await crowd.answers()
    assert crowd.server.asked[2:] == ["quiet"]
    await crowd.answers(5)
    assert await asyncio.gather(*loud, quiet) == [OK] * 6


async def test_equals_take_turns() -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("a", "b", "b", "c", "c")]
    await crowd.answers(5)
    assert crowd.server.asked == ["a", "b", "c", "b", "c"]
    await asyncio.gather(*tasks)


async def test_who_has_fewest_under_way_comes_next() -> None:
    crowd = Crowd(3)
    tasks = [await crowd.ask(name) for name in ("a", "a", "b", "a", "b", "c", "c", "b")]
    assert crowd.server.asked == ["a", "a", "b"]
    await crowd.answers(5)
    assert crowd.server.asked[3:] == ["c", "a", "b", "c", "b"]
    await crowd.answers(3)
    assert await asyncio.gather(*tasks) == [OK] * 8


async def test_what_no_tenant_asks_for_never_waits() -> None:
    """Our own Lease, above all."""
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("loud", "loud", "")]
    assert crowd.server.asked == ["loud", ""]
    await crowd.answers(3)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("which", [0, 1], ids=["under way", "waiting"])
async def test_one_that_is_given_up_leaves_its_place(which: int) -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("a", "b", "c")]
    tasks[which].cancel()
    await asyncio.wait([tasks[which]])
    rest = [task for task in tasks if not task.cancelled()]
    await eventually(lambda: crowd.server.under_way == 1, "one is under way")
    await crowd.answers(2)
    assert await asyncio.gather(*rest) == [OK] * 2


async def test_one_that_is_given_up_just_as_its_turn_comes_passes_it_on() -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("a", "b", "c")]
    crowd.server.answer()
    await asyncio.sleep(0)  # b's turn has come, and b has not run since
    assert tasks[0].done()
    assert crowd.server.asked == ["a"]
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    await eventually(lambda: crowd.server.asked[-1] == "c", "c is through")
    await crowd.answers()
    assert await tasks[2] == OK


async def test_a_slow_one_does_not_keep_others_from_their_turn() -> None:
    """A webhook hangs, for example: waiting for it is no work for the API server."""
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("slow", "quiet")]
    await eventually(lambda: crowd.server.asked == ["slow", "quiet"], "the quiet one is through")
    assert crowd.server.under_way == 2
    third = await crowd.ask("third")
    await crowd.answers(2)
    assert crowd.server.asked[2:] == ["third"], "its place was given back once"
    await crowd.answers()
    await asyncio.gather(*tasks, third)
