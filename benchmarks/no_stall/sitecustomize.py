"""On a server's PYTHONPATH: sets TCP_NODELAY on accepted sockets.

MLflow 3.x with several workers hands them a listening socket of which asyncio cannot tell that it is TCP, so it leaves
Nagle's algorithm on: each answer on a kept connection then waits about 40 ms for the client's delayed acknowledgement.
"""

import socket

_accept = socket.socket.accept


def _accept_without_delay(self: socket.socket) -> tuple[socket.socket, object]:
    connection, address = _accept(self)
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, address


socket.socket.accept = _accept_without_delay  # type: ignore[method-assign]
