"""What is done to the system: processes killed and stopped, looked up by their names."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.e2e.local_system import LocalSystem, wait_for

BACK_SECONDS = 180.0


@dataclass(frozen=True)
class Component:
    """A supervised program: its group is ``super``, or a tenant's key."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} of {self.group}"

    def pid(self, local: LocalSystem) -> int:
        """Its process id, once it runs."""
        return wait_for(
            f"{self} runs", lambda: local.pid(self.group, self.name), seconds=BACK_SECONDS
        )

    def kill(self, local: LocalSystem) -> int:
        """kill -9; the process id that it had."""
        pid = self.pid(local)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_back(self, local: LocalSystem, before: int) -> None:
        """The supervisor has started it again."""
        wait_for(
            f"{self} is started again",
            lambda: local.pid(self.group, self.name) not in (0, before),
            seconds=BACK_SECONDS,
        )

    @contextmanager
    def stopped(self, local: LocalSystem) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end: it is there, and does not answer."""
        pid = self.pid(local)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):  # it was ended meanwhile
                os.kill(pid, signal.SIGCONT)


ETCD = Component("super", "etcd")
SUPER_API_SERVER = Component("super", "kube-apiserver")
KWOK = Component("super", "kwok")
SYNCER = Component("super", "syncer")
OPERATOR = Component("super", "operator")


def api_server(tenant_key: str) -> Component:
    """The API server of a tenant."""
    return Component(tenant_key, "kube-apiserver")
