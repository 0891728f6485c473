"""Stop the local super cluster, and forget it when asked."""

import shutil
from pathlib import Path

from vcluster.local.real_nodes import leftovers
from vcluster.local.state import State, StateError
from vcluster.supervision import Supervisor, host


def down(state: State, purge: bool) -> None:
    """Stop all programs, the tenants' too; with ``purge`` delete everything that `vc up` made.

    Done again, or after a half-done set-up, it is no error. Raises StateError for a folder that
    `vc up` did not make, SupervisionError.
    """
    if not state.directory.exists():
        return
    _check_ours(state)
    with state.locked():
        supervisor = Supervisor(state.supervisor_directory)
        supervisor.shutdown()
        leftovers.clear(state.directory)
        if purge:
            _remove_socket_directory(state)
            state.purge()


def _check_ours(state: State) -> None:
    if not state.directory.is_dir():
        msg = f"{state.directory} is not a folder"
        raise StateError(msg)
    if not state.exists() and any(path.name != "lock" for path in state.directory.iterdir()):
        msg = f"{state.directory} was not made by vc up"
        raise StateError(msg)


def _remove_socket_directory(state: State) -> None:
    """The socket lives elsewhere when the state directory's path is long."""
    directory: Path = host.socket_path(state.supervisor_directory).parent
    if directory != state.supervisor_directory:
        shutil.rmtree(directory, ignore_errors=True)
