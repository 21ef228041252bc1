"""Kafka's protocol on the wire, by an independent codec (kio): a connection, an answer each."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import io
import socket
import struct
import types
import typing
import uuid
from collections.abc import Mapping
from typing import Any

from kio.serial import entity_reader, entity_writer
from kio.index import load_entity_schema
from kio.static.constants import EntityType

Plain = Any


class Closed(Exception):
    """The broker closed the connection instead of answering."""


class Wire:
    """A connection that sends what it is told to and returns what comes back, as plain values."""

    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = 30) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._correlation = 0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def ask(self, api: str, version: int, **fields: Plain) -> Plain:
        """Send a request and return its response: structs as dicts, ids and times as plain values.

        Fields that this version of the message lacks are left out, those that are not given take
        their default or a zero.
        """
        self.post(api, version, **fields)
        return self.answer(api, version)

    def post(self, api: str, version: int, **fields: Plain) -> None:
        """Send a request."""
        request_type = load_entity_schema(api, version, EntityType.request)
        header_type = request_type.__header_schema__
        self._correlation += 1
        frame = io.BytesIO()
        header = build(
            header_type,
            {
                "request_api_key": request_type.__api_key__,
                "request_api_version": version,
                "correlation_id": self._correlation,
                "client_id": "conformance",
            },
        )
        frame.write(encoded(header_type, header))
        frame.write(encoded(request_type, build(request_type, fields)))
        self.send_frame(frame.getvalue())

    def send_frame(self, content: bytes) -> None:
        """Send bytes behind their length."""
        self.send(struct.pack(">i", len(content)) + content)

    def answer(self, api: str, version: int) -> Plain:
        """Receive a response."""
        response_type = load_entity_schema(api, version, EntityType.response)
        content = self.receive_frame()
        header, size = decoded(response_type.__header_schema__, content, 0)
        assert header.correlation_id == self._correlation, "responses come in the requests' order"
        response, size = decoded(response_type, content, size)
        assert size == len(content), f"{api} v{version}: {len(content) - size} bytes too many"
        return plain(response)

    def receive_frame(self) -> bytes:
        """Receive the bytes behind a length."""
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                chunk = self._socket.recv(count - len(data))
            except ConnectionError as error:
                raise Closed from error
            if not chunk:
                raise Closed
            data += chunk
        return bytes(data)


def encoded(entity_type: type, entity: Plain) -> bytes:
    buffer = io.BytesIO()
    entity_writer(entity_type)(buffer, entity)
    return buffer.getvalue()


def decoded(entity_type: type, content: bytes, offset: int) -> tuple[Plain, int]:
    value, size = entity_reader(entity_type)(content, offset)
    return value, offset + size


def build(entity_type: Plain, fields: Mapping[str, Plain]) -> Plain:
    """An entity of kio from plain values."""
    hints = typing.get_type_hints(entity_type)
    values = {}
    for field in dataclasses.fields(entity_type):
        if field.name in fields:
            values[field.name] = convert(hints[field.name], fields[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values[field.name] = zero(hints[field.name])
    return entity_type(**values)


def alternatives(hint: Plain) -> tuple[Plain, ...]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return typing.get_args(hint)
    return (hint,)


def zero(hint: Plain) -> Plain:
    options = alternatives(hint)
    if type(None) in options:
        return None
    hint = options[0]
    if typing.get_origin(hint) is tuple:
        return ()
    if dataclasses.is_dataclass(hint):
        return build(hint, {})
    return convert(hint, 0) if issubclass(hint, int | datetime.timedelta) else hint()


def convert(hint: Plain, value: Plain) -> Plain:
    if value is None:
        return None
    hint = next(option for option in alternatives(hint) if option is not type(None))
    if typing.get_origin(hint) is tuple:
        return tuple(convert(typing.get_args(hint)[0], item) for item in value)
    if dataclasses.is_dataclass(hint):
        return build(hint, value)
    if isinstance(value, str) and hint is uuid.UUID:
        return uuid.UUID(value)
    if isinstance(hint, type) and issubclass(hint, datetime.timedelta):
        return datetime.timedelta(milliseconds=value)
    return value


def plain(value: Plain) -> Plain:
    """A plain value from what kio decoded."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    return value


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC32C[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def varint(number: int) -> bytes:
    """Zigzag, then seven bits a byte."""
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number & ~0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def record_batch(
    values: list[bytes],
    timestamp: int,
    *,
    producer_id: int = -1,
    producer_epoch: int = -1,
    sequence: int = -1,
    attributes: int = 0,
    damage: bool = False,
) -> bytes:
    """A record batch, version 2; ``damage`` spoils its checksum."""
    records = bytearray()
    for index, value in enumerate(values):
        body = b"\0" + varint(index) + varint(index) + varint(-1)
        body += varint(len(value)) + value + varint(0)
        records += varint(len(body)) + body
    last = len(values) - 1
    checked = struct.pack(
        ">hiqqqhii",
        attributes,
        last,
        timestamp,
        timestamp + max(last, 0),
        producer_id,
        producer_epoch,
        sequence,
        len(values),
    ) + bytes(records)
    checksum = crc32c(checked) ^ (1 if damage else 0)
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, checksum) + checked
