"""Long-running programs under supervisord: declared, kept running, forgotten."""

from vcluster.supervision.program import ProcessStatus, Program
from vcluster.supervision.supervisor import SupervisionError, Supervisor

__all__ = ["ProcessStatus", "Program", "SupervisionError", "Supervisor"]
