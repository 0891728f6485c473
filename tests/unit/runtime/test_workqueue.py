"""A queue that is fair between tenants, loses nothing and hands nothing out twice at a time."""

import asyncio

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncer.runtime.workqueue import LOOKS_IN_A_ROW, Request, WorkQueue
from tests.fakes.waiting import eventually


def a_request(tenant: str = "acme", name: str = "web") -> Request:
    return Request(tenant, "pods", "default", name)


def a_queue(inflight: int = 1000) -> WorkQueue:
    return WorkQueue(inflight)


async def taken(queue: WorkQueue, count: int) -> list[str]:
    """The tenants of the next requests."""
    async with asyncio.timeout(60):
        return [(await queue.get()).tenant for _ in range(count)]


async def test_a_noisy_tenant_does_not_delay_a_quiet_one() -> None:
    queue = a_queue()
    for number in range(1000):
        queue.add(a_request("noisy", f"pod-{number}"))
    queue.add(a_request("quiet"))
    assert "quiet" in await taken(queue, 2)


async def test_tenants_are_served_by_their_weights() -> None:
    queue = a_queue()
    queue.set_weight("heavy", 3)
    for number in range(100):
        queue.add(a_request("light", f"pod-{number}"))
        queue.add(a_request("heavy", f"pod-{number}"))
    served = await taken(queue, 40)
    assert (served.count("heavy"), served.count("light")) == (30, 10)


async def test_what_has_failed_is_hurried_and_nothing_else() -> None:
    queue = a_queue()
    for tenant in ("acme", "other"):
        queue.retry_after(a_request(tenant, "failed"), 3600)
        queue.add_after(a_request(tenant, "put off"), 3600)
    queue.hurry("acme")
    assert len(queue) == 1
    failed = await queue.get()
    assert failed == a_request("acme", "failed")
    queue.done(failed)
    queue.hurry("acme")
    assert not len(queue), "it has been tried"
    queue.hurry()
    assert await queue.get() == a_request("other", "failed")
    assert not len(queue)


async def test_a_failed_request_is_handed_out_in_its_time_and_forgotten_with_its_tenant() -> None:
    queue = a_queue()
    queue.retry_after(a_request("acme"), 0.01)
    assert await taken(queue, 1) == ["acme"]
    queue.retry_after(a_request("other"), 3600)
    queue.forget("other")
    queue.hurry()
    assert not len(queue)


async def test_a_tenant_saves_no_credit_while_it_has_nothing_to_do() -> None:
    queue = a_queue()
    queue.set_weight("heavy", 10)
    queue.add(a_request("heavy", "only"))
    await taken(queue, 1)
    for number in range(50):
        queue.add(a_request("heavy", f"pod-{number}"))
        queue.add(a_request("light", f"pod-{number}"))
    served = await taken(queue, 22)
    assert served.count("light") == 2


async def tired(queue: WorkQueue, request: Request) -> None:
    """Look at it until it has to rest."""
    for _ in range(LOOKS_IN_A_ROW + 1):
        queue.add(request)
        assert await asyncio.wait_for(queue.get(), 60) == request
        queue.done(request)


async def test_an_object_that_is_asked_for_all_the_time_lets_others_go_first() -> None:
    queue, busy, other = a_queue(), a_request(name="busy"), a_request(name="other")
    await tired(queue, busy)
    queue.add(busy)
    queue.add(other)
    assert not queue.idle
    assert await queue.get() == other
    queue.done(other)
    assert not queue.idle, "it only rests"
    assert await asyncio.wait_for(queue.get(), 60) == busy
    queue.done(busy)
    await eventually(lambda: queue.idle, "nothing is left")


async def test_who_is_asked_for_together_does_not_rest() -> None:
    queue, busy, other = a_queue(), a_request(name="busy"), a_request(name="other")
    await tired(queue, busy)
    queue.add(busy)
    queue.add_together([busy, other])
    assert [await queue.get(), await queue.get()] == [busy, other]
    for request in (busy, other):
        queue.done(request)


async def test_a_tenant_that_is_forgotten_leaves_nothing_that_rests() -> None:
    queue, busy = a_queue(), a_request(name="busy")
    await tired(queue, busy)
    queue.add(busy)
    queue.forget(busy.tenant)
    assert queue.idle
    queue.add(busy)
    assert await asyncio.wait_for(queue.get(), 60) == busy
    queue.done(busy)


async def test_one_tenant_holds_only_so_many_workers() -> None:
    queue = a_queue(inflight=2)
    for number in range(5):
        queue.add(a_request("noisy", f"pod-{number}"))
    first, _ = await queue.get(), await queue.get()
    waiting = asyncio.ensure_future(queue.get())
    queue.add(a_request("quiet"))
    assert (await waiting).tenant == "quiet"
    waiting = asyncio.ensure_future(queue.get())
    queue.done(first)
    assert (await waiting).tenant == "noisy"


async def test_a_request_waits_at_most_once() -> None:
    queue = a_queue()
    for _ in range(5):
        queue.add(a_request())
    assert len(queue) == 1
    queue.done(await queue.get())
    assert queue.idle


async def test_a_request_that_is_worked_on_is_handed_out_again_only_when_done() -> None:
    queue = a_queue()
    queue.add(a_request())
    request = await queue.get()
    queue.add(a_request())
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done(request)
    assert await waiting == request


async def test_a_later_request_comes_in_its_time_unless_there_is_an_earlier_one() -> None:
    queue = a_queue()
    queue.add_after(a_request(name="later"), 0.01)
    queue.add_after(a_request(name="now"), 3600)
    queue.add(a_request(name="now"))
    async with asyncio.timeout(60):
        assert [(await queue.get()).name for _ in range(2)] == ["now", "later"]
    assert len(queue) == 0


async def test_a_paused_tenants_requests_are_kept_and_hold_up_nobody() -> None:
    queue = a_queue()
    queue.pause("paused")
    queue.add(a_request("paused"))
    queue.add(a_request("other"))
    assert await taken(queue, 1) == ["other"]
    queue.resume("paused")
    assert await taken(queue, 1) == ["paused"]


async def test_all_idle_workers_take_up_what_a_pause_has_held_back() -> None:
    queue = a_queue()
    queue.pause("acme")
    for number in range(5):
        queue.add(a_request(name=f"pod-{number}"))
    workers = [asyncio.ensure_future(queue.get()) for _ in range(5)]
    await asyncio.sleep(0)
    queue.resume("acme")
    await eventually(lambda: all(worker.done() for worker in workers), "all have work")


async def test_a_worker_that_is_cancelled_while_it_is_woken_takes_no_request_along() -> None:
    queue = a_queue()
    cancelled, other = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add(a_request())
    cancelled.cancel()
    async with asyncio.timeout(60):
        assert await other == a_request()


async def test_a_tenant_that_left_leaves_nothing() -> None:
    queue = a_queue()
    queue.add(a_request("left", "waits"))
    queue.add_after(a_request("left", "later"), 0.0)
    queue.add(a_request("stays"))
    queue.forget("left")
    await asyncio.sleep(0.01)
    assert await taken(queue, 1) == ["stays"]
    assert queue.depth("left") == 0


async def test_a_tenant_that_left_and_came_back_keeps_to_its_limit() -> None:
    """Its old requests may still be worked on when its new session begins."""
    queue = a_queue(inflight=2)
    for number in range(2):
        queue.add(a_request(name=f"old-{number}"))
    old = [await queue.get(), await queue.get()]
    queue.add(old[0])
    queue.forget("acme")
    for number in range(5):
        queue.add(a_request(name=f"new-{number}"))
    for request in old:
        queue.done(request)
    served = []
    async with asyncio.timeout(60):
        served = [await queue.get() for _ in range(2)]
    assert all(request.name.startswith("new") for request in served)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.01)


async def test_a_request_of_a_tenant_that_came_back_is_not_lost_in_the_hands_of_its_old_worker() -> (
    None
):
    queue = a_queue()
    queue.add(a_request())
    request = await queue.get()
    queue.forget("acme")
    queue.add(a_request())
    queue.done(request)
    assert await taken(queue, 1) == ["acme"]


NAMES = strategies.sampled_from([f"pod-{number}" for number in range(4)])
TENANTS = strategies.sampled_from(["a", "b", "c"])
LIMIT = 2


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls keeps the promises of the class' docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.queue = WorkQueue(LIMIT)
        self.wanted: set[Request] = set()
        self.held: list[Request] = []
        self.paused: set[str] = set()

    def teardown(self) -> None:
        self.loop.close()

    @rule(tenant=TENANTS, name=NAMES)
    def add(self, tenant: str, name: str) -> None:
        self.queue.add(a_request(tenant, name))
        self.wanted.add(a_request(tenant, name))

    @rule(tenant=TENANTS, weight=strategies.integers(0, 5))
    def weigh(self, tenant: str, weight: int) -> None:
        self.queue.set_weight(tenant, weight)

    @rule(tenant=TENANTS)
    def pause(self, tenant: str) -> None:
        self.queue.pause(tenant)
        self.paused.add(tenant)

    @rule(tenant=TENANTS)
    def resume(self, tenant: str) -> None:
        self.queue.resume(tenant)
        self.paused.discard(tenant)

    @rule(tenant=TENANTS)
    def forget(self, tenant: str) -> None:
        self.queue.forget(tenant)
        self.wanted = {request for request in self.wanted if request.tenant != tenant}
        self.paused.discard(tenant)

    @precondition(lambda self: bool(self.servable()))
    @rule()
    def get(self) -> None:
        request = self.loop.run_until_complete(asyncio.wait_for(self.queue.get(), 60))
        assert request in self.servable()
        self.wanted.remove(request)
        self.held.append(request)

    @precondition(lambda self: bool(self.held))
    @rule(data=strategies.data())
    def done(self, data: strategies.DataObject) -> None:
        request = data.draw(strategies.sampled_from(self.held))
        self.held.remove(request)
        self.queue.done(request)

    @invariant()
    def counts_agree(self) -> None:
        waiting = [request for request in self.wanted if request not in self.held]
        assert len(self.queue) == len(waiting)
        assert self.queue.idle == (not waiting and not self.held)

    def servable(self) -> set[Request]:
        """What may be handed out now."""
        held = [request.tenant for request in self.held]
        return {
            request
            for request in self.wanted
            if request not in self.held
            and request.tenant not in self.paused
            and held.count(request.tenant) < LIMIT
        }


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrderOfCalls = QueueMachine.TestCase
