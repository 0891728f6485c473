"""Passes over tenants: who waits for a tenant waits alone (law 3)."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from vcluster.operator.passes import AT_ONCE, Passes

SECONDS = 120.0


@pytest.fixture
def passes() -> Iterator[Passes]:
    passes = Passes()
    yield passes
    passes.close()


async def test_however_many_tenants_hang_the_others_are_looked_after(passes: Passes) -> None:
    healed, finished = threading.Event(), list[str]()

    def hang(_: object) -> None:
        assert healed.wait(SECONDS)

    async with asyncio.TaskGroup() as tasks:
        for number in range(4 * AT_ONCE):
            tasks.create_task(passes.run_in_two(f"hung-{number}", lambda: "plan", hang))
        try:
            async with asyncio.timeout(SECONDS / 2):
                await passes.run_in_two("well", lambda: "plan", finished.append)
                assert await passes.run("leaving", lambda: "gone") == "gone"
                assert passes.runs("hung-0")
        finally:
            healed.set()
    assert finished == ["plan"]


async def test_a_tenant_has_one_pass_at_a_time(passes: Passes) -> None:
    under_way, most = list[int](), list[int]()

    def part() -> int:
        under_way.append(1)
        most.append(len(under_way))
        under_way.pop()
        return 1

    def second(_: int) -> None:
        part()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(passes.run_in_two("one", part, second))
            tasks.create_task(passes.run("one", part))
    assert max(most) == 1
    assert not passes.runs("one")


async def test_without_anything_to_ask_a_tenant_for_the_pass_is_over(passes: Passes) -> None:
    asked = list[object]()
    await passes.run_in_two("invalid", lambda: None, asked.append)
    assert not asked
