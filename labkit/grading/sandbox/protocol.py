"""Messages between the grader and a learner's process: a JSON header, then bytes.

The grader treats what it receives as hostile: sizes are capped before anything is
read, and nothing is ever unpickled.
"""

import json
import socket
import struct
import time

HEADER_LIMIT = 4 * 2**20  # bytes: a cell's source or its outputs
BODY_LIMIT = 65 * 2**20  # bytes: cases or records, themselves capped at 64 MiB
_LENGTHS = struct.Struct("!II")


def send(channel: socket.socket, header: dict, body: bytes = b"") -> None:
    """Send one message. Raises OSError if the other side is gone or does not read."""
    text = json.dumps(header).encode()
    channel.sendall(_LENGTHS.pack(len(text), len(body)) + text + body)


def receive(
    channel: socket.socket, deadline: float | None = None
) -> tuple[dict, bytes]:
    """Wait for one message until `deadline` (time.monotonic seconds, None: for ever).

    Raises TimeoutError after the deadline, EOFError if the other side is gone,
    ValueError for what is no message.
    """
    size, extra = _LENGTHS.unpack(_read(channel, _LENGTHS.size, deadline))
    if size > HEADER_LIMIT or extra > BODY_LIMIT:
        raise ValueError(f"a message of {size} + {extra} bytes is too long")
    try:
        header = json.loads(_read(channel, size, deadline))
        # Half characters (lone surrogates), which no file or page takes, become "?".
        text = json.dumps(header, ensure_ascii=False)
        header = json.loads(text.encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("a header nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("a message's header is a dict")
    return header, _read(channel, extra, deadline)


def _read(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        if deadline is not None:
            channel.settimeout(max(deadline - time.monotonic(), 0.001))
        chunk = channel.recv(min(size - len(data), 2**20))
        if not chunk:
            raise EOFError("the other side closed the channel")
        data += chunk
    return bytes(data)
