"""Kafka's messages read by their layouts, field by field, into plain Python values."""

from __future__ import annotations

import base64
import struct
from typing import Any

from pabal.record_layouts import Field, Layout

__all__ = ["Cursor", "Malformed", "decode"]

_NUMBERS = {
    "int8": struct.Struct(">b"),
    "int16": struct.Struct(">h"),
    "uint16": struct.Struct(">H"),
    "int32": struct.Struct(">i"),
    "uint32": struct.Struct(">I"),
    "int64": struct.Struct(">q"),
    "float64": struct.Struct(">d"),
}


class Malformed(ValueError):
    """The bytes are not what their layout says."""


class Cursor:
    """A place in bytes; every step is checked against their end.

    Examples
    --------
    >>> cursor = Cursor(bytes([0, 7, 3]))
    >>> cursor.number(">h"), cursor.unsigned(), cursor.remaining()
    (7, 3, 0)
    """

    def __init__(self, content: bytes, at: int = 0) -> None:
        self._content = content
        self.at = at

    def remaining(self) -> int:
        """Bytes that are left."""
        return len(self._content) - self.at

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size < 0 or size > self.remaining():
            raise Malformed(f"{size} bytes are announced, {self.remaining()} remain")
        begin = self.at
        self.at += size
        return self._content[begin : self.at]

    def optional_bytes(self, size: int) -> bytes | None:
        """The next bytes; none for a negative size."""
        return None if size < 0 else self.take(size)

    def count(self, number: int, least: int) -> int:
        """A count of things that take so many bytes at least."""
        if number < 0 or number * least > self.remaining():
            raise Malformed(f"{number} entries are announced, {self.remaining()} bytes remain")
        return number

    def number(self, form: str) -> int:
        """A number as `struct` knows it."""
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def unsigned(self) -> int:
        """A number of seven bits a byte, the low ones first."""
        content, at, value, shift = self._content, self.at, 0, 0
        while True:
            if at >= len(content):
                raise Malformed("a number is cut off")
            byte = content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.at = at
                return value
            shift += 7
            if shift > 63:
                raise Malformed("a number is longer than ten bytes")

    def varint(self) -> int:
        """Such a number with a sign, which its lowest bit is."""
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)


def decode(layout: Layout, version: int, cursor: Cursor) -> dict[str, Any]:
    """The fields of a message, by Kafka's names of them.

    Tagged fields are there if they are not their defaults; ids are text as Kafka prints them.

    Raises
    ------
    Malformed
        If the bytes are something else.

    Examples
    --------
    >>> from pabal.record_layouts import OFFSETS
    >>> key, _ = OFFSETS[2]
    >>> decode(key, 0, Cursor(b"\\0\\7readers"))
    {'group': 'readers'}
    """
    if not layout.low <= version <= layout.high:
        raise Malformed(
            f"{layout.name} has the versions {layout.low} to {layout.high}, not {version}"
        )
    flexible = layout.flexible is not None and version >= layout.flexible
    return _fields(layout.fields, version, flexible, cursor)


def _fields(
    fields: tuple[Field, ...], version: int, flexible: bool, cursor: Cursor
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields:
        if field.low <= version <= field.high and not _tagged(field, version):
            found[field.name] = _value(field, version, flexible, cursor, tagged=False)
    if not flexible:
        return found
    tags = {field.tag[0]: field for field in fields if field.tag and _tagged(field, version)}
    extra: dict[str, Any] = {}
    for _ in range(cursor.count(cursor.unsigned(), 2)):
        tag = cursor.unsigned()
        content = Cursor(cursor.take(cursor.unsigned()))
        if tag not in tags:
            continue
        field = tags[tag]
        value = _value(field, version, flexible, content, tagged=True)
        if content.remaining():
            raise Malformed(f"{field.name} leaves {content.remaining()} of its bytes")
        if value != (list(field.default) if isinstance(field.default, tuple) else field.default):
            extra[field.name] = value
    if not extra:
        return found
    found.update(extra)
    return {field.name: found[field.name] for field in fields if field.name in found}


def _tagged(field: Field, version: int) -> bool:
    return field.tag is not None and field.tag[1] <= version <= field.tag[2]


def _nullable(field: Field, version: int) -> bool:
    return field.nullable is not None and field.nullable[0] <= version <= field.nullable[1]


def _value(field: Field, version: int, flexible: bool, cursor: Cursor, *, tagged: bool) -> Any:
    if field.array:
        size = cursor.unsigned() - 1 if flexible else cursor.number(">i")
        if size < 0:
            return _null(field, version)
        count = cursor.count(size, 0 if field.type == "struct" else 1)
        if count > cursor.remaining() + 1:
            raise Malformed(f"{field.name} claims {count} entries")
        return [_scalar(field, version, flexible, cursor) for _ in range(count)]
    if field.type == "struct" and _nullable(field, version):
        present = cursor.unsigned() if tagged else cursor.number(">b")
        if present < 0 or (tagged and present == 0):
            return None
    return _scalar(field, version, flexible, cursor)


def _scalar(field: Field, version: int, flexible: bool, cursor: Cursor) -> Any:
    kind = field.type
    if kind in _NUMBERS:
        form = _NUMBERS[kind]
        return form.unpack(cursor.take(form.size))[0]
    if kind == "struct":
        return _fields(field.fields, version, flexible, cursor)
    if kind == "bool":
        return cursor.take(1) != b"\0"
    if kind == "uuid":
        return base64.urlsafe_b64encode(cursor.take(16)).rstrip(b"=").decode()
    if flexible:
        size = cursor.unsigned() - 1
    else:
        size = cursor.number(">h" if kind == "string" else ">i")
    if size < 0:
        return _null(field, version)
    content = cursor.take(size)
    if kind != "string":
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"{field.name} is no text: {error}") from error


def _null(field: Field, version: int) -> None:
    if not _nullable(field, version):
        raise Malformed(f"{field.name} is null, which it may not be")
