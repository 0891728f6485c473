"""Our own certificate, and how a tenant's API server is received."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL

from node_agent.settings import Settings
from node_agent.streams import TlsStream, prepare

_Identity = tuple[int, int]


@contextlib.contextmanager
def listeners(settings: Settings) -> Iterator[list[socket.socket]]:
    """Sockets that listen at our ports, in their order. Raises OSError if one of them is taken."""
    address = settings.address
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as opened:
        found = []
        for port in settings.ports:
            listener = socket.create_server((address, port), family=family, backlog=512)
            opened.enter_context(listener)
            listener.setblocking(False)
            found.append(listener)
        yield found


class Reception:
    """Makes TLS streams of accepted sockets; a renewed certificate is used from the next one on."""

    def __init__(self, settings: Settings) -> None:
        self._files = (Path(settings.certificate), Path(settings.key))
        self._stalled_seconds = settings.stalled_seconds
        self._seen: tuple[_Identity, ...] = ()
        self._context = self._current()

    def receive(self, plain: socket.socket) -> tuple[TlsStream, SSL.Connection]:
        """The stream, its handshake still to be done, and what knows the client's certificate."""
        prepare(plain)
        connection = SSL.Connection(self._current(), plain)
        connection.set_accept_state()
        return (
            TlsStream(connection, plain, self._stalled_seconds, connection.shutdown),
            connection,
        )

    def _current(self) -> SSL.Context:
        """Raises OSError or SSL.Error only if there was never a good certificate."""
        try:
            seen = tuple(_identity(file) for file in self._files)
            if seen != self._seen:
                self._context = _context(*self._files)
                self._seen = seen
        except (OSError, SSL.Error):
            if not self._seen:
                raise
        return self._context


def client_certificate(connection: SSL.Connection) -> x509.Certificate | None:
    """What the client has shown; that it has the key to it was proven in the handshake.

    A certificate that cannot be read is none.
    """
    try:
        return connection.get_peer_certificate(as_cryptography=True)
    except ValueError:
        return None


def _context(certificate: Path, key: Path) -> SSL.Context:
    """Asks for a client certificate and takes any: whose it is, authorities.py decides.

    As kubelets do it. Python's ssl can only ask for certificates that one bundle of authorities has
    signed; it would not say which of them, and everybody else would get no HTTP answer.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)  # every supported API server speaks it
    context.use_certificate_chain_file(str(certificate))
    context.use_privatekey_file(str(key))
    context.check_privatekey()
    context.set_verify(SSL.VERIFY_PEER, lambda *_arguments: True)
    # Whoever comes back shows its certificate again: it may have expired, or its tenant be gone.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_id(b"node-agent")
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def _identity(file: Path) -> _Identity:
    found = file.stat()
    return (found.st_mtime_ns, found.st_ino)
