"""The standard streams of a container, read with a deadline."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from docker.models.containers import Container

from harness.errors import InputError

STDOUT, STDERR = 1, 2
_PIECE = 65536
_HEADER = 8  # of a frame: the stream, three zeros, the length (four bytes, big endian)


class Attached:
    """Attach before the container starts, so that nothing is lost; close it afterwards."""

    def __init__(self, container: Container, *, stdin: bool = False) -> None:
        wanted = {"stdin": int(stdin), "stdout": 1, "stderr": 1, "stream": 1}
        # The SDK's object can read only, and the connection lives as long as it does.
        self._connection = container.attach_socket(params=wanted)
        if not isinstance(self._connection, socket.SocketIO):
            raise InputError("containers need an engine on this machine; unset DOCKER_HOST")
        self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))

    def send(self, data: bytes, until: float) -> None:
        """Write to the container's standard input; TimeoutError after `until` (monotonic)."""
        self._socket.settimeout(max(until - time.monotonic(), 0.001))
        self._socket.sendall(data)

    def frames(self, until: float | None) -> Iterator[tuple[int, bytes]]:
        """(STDOUT or STDERR, a piece) until both are closed; TimeoutError after `until`, if any."""
        while len(header := self._exactly(_HEADER, until)) == _HEADER:
            stream, left = header[0], int.from_bytes(header[4:])
            while left and (piece := self._receive(min(left, _PIECE), until)):
                left -= len(piece)
                yield stream, piece

    def close(self) -> None:
        """Let go of the connection; the container runs on.

        A container whose text nobody reads cannot be removed while the connection stands.
        """
        with suppress(OSError):  # the engine has closed it already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._connection.close()

    def _exactly(self, size: int, until: float | None) -> bytes:
        data = b""
        while len(data) < size and (piece := self._receive(size - len(data), until)):
            data += piece
        return data

    def _receive(self, size: int, until: float | None) -> bytes:
        left = None if until is None else until - time.monotonic()
        if (
            left is not None and left <= 0
        ):  # a program that never stops writing must not outlive its time
            raise TimeoutError
        self._socket.settimeout(left)
        try:
            return self._socket.recv(size)
        except ConnectionError:
            return b""  # an end like any other: the next question to the engine says why
