"""How the two ends of a connection prove that they belong to one crawl.

Each proves by an HMAC over what both have made up that it has the crawl's key, which
travels through the engine that places workers. Until then a fixed number of bytes is
read and compared, and nothing is decoded.

References:
    RFC 2104 (HMAC); the order of the two proofs is that of ISO/IEC 9798-4.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from asyncio import StreamReader, StreamWriter

_GREETING = b"concurcrawl/1\n"
_SIZE = 32
_LENGTH = struct.Struct("!I")

#: Longest message of a control connection, in bytes; an archive is none.
_MOST = 1 << 16


class HandshakeError(OSError):
    """The other end does not have the key of this crawl, or is no part of a crawl."""


def new_key() -> bytes:
    """Return a key for one crawl."""
    return secrets.token_bytes(_SIZE)


async def accept(reader: StreamReader, writer: StreamWriter, key: bytes) -> None:
    """Be the supervisor's end.

    Raises:
        HandshakeError: If the other end does not have the key.
        EOFError: If it closes the connection.
    """
    ours = secrets.token_bytes(_SIZE)
    writer.write(_GREETING + ours)
    theirs = await reader.readexactly(_SIZE)
    proof = await reader.readexactly(_SIZE)
    if not hmac.compare_digest(proof, _proof(key, b"worker", ours, theirs)):
        raise HandshakeError("a wrong key")
    writer.write(_proof(key, b"supervisor", ours, theirs))


def request(sock: socket.socket, key: bytes) -> None:
    """Be the worker's end; blocks.

    Raises:
        HandshakeError: If the other end is not the supervisor of this crawl.
        OSError: If the connection fails.
    """
    greeting = read(sock, len(_GREETING) + _SIZE)
    if not greeting.startswith(_GREETING):
        raise HandshakeError("it is not a crawl")
    theirs = greeting[len(_GREETING) :]
    ours = secrets.token_bytes(_SIZE)
    sock.sendall(ours + _proof(key, b"worker", theirs, ours))
    expected = _proof(key, b"supervisor", theirs, ours)
    if not hmac.compare_digest(read(sock, _SIZE), expected):
        raise HandshakeError("it does not have the key of this crawl")


def _proof(key: bytes, role: bytes, supervisors: bytes, workers: bytes) -> bytes:
    return hmac.digest(key, role + supervisors + workers, hashlib.sha256)


def read(sock: socket.socket, size: int) -> bytes:
    """Return exactly *size* bytes; blocks.

    Raises:
        HandshakeError: If the connection ends before.
        OSError: If it fails.
    """
    chunks = bytearray()
    while len(chunks) < size:
        chunk = sock.recv(min(size - len(chunks), 1 << 20))
        if not chunk:
            raise HandshakeError("the connection was closed")
        chunks += chunk
    return bytes(chunks)


# What is said on a control connection: short JSON, which runs no code when it is read.


def packed(message: dict[str, Any]) -> bytes:
    """Return *message* as it goes over a control connection."""
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


def read_message(sock: socket.socket) -> dict[str, Any]:
    """Return the next message; blocks.

    Raises:
        HandshakeError: If there is none.
        OSError: If the connection fails.
    """
    return _unpacked(read(sock, _checked(read(sock, _LENGTH.size))))


async def next_message(reader: StreamReader) -> dict[str, Any]:
    """Return the next message.

    Raises:
        HandshakeError: If it is none.
        EOFError: If the connection ends.
    """
    size = _checked(await reader.readexactly(_LENGTH.size))
    return _unpacked(await reader.readexactly(size))


def _checked(header: bytes) -> int:
    (size,) = _LENGTH.unpack(header)
    if size > _MOST:
        raise HandshakeError(f"a message of {size} bytes")
    return int(size)


def _unpacked(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise HandshakeError("a message that is no JSON") from error
    if not isinstance(message, dict):
        raise HandshakeError("a message that is no object")
    return message
