"""Kafka's consoles: ``pabal kafka-console-producer`` and ``kafka-console-consumer``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pabal.errors import PabalError
from pabal.piping import given_settings, lines_of

if TYPE_CHECKING:
    from pabal.consumer import Consumer
    from pabal.records import Record

__all__ = ["add_consumer_options", "add_producer_options", "console_consumer", "console_producer"]

_WAIT = 0.1
_TRUE = {"true": True, "false": False}


def add_producer_options(parser: argparse.ArgumentParser) -> None:
    """The options of kafka-console-producer."""
    parser.add_argument("--topic", required=True)
    for name in ("reader-property", "property", "producer-property", "command-property"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--request-required-acks", "--producer-acks", dest="acks")
    parser.add_argument("--compression-codec", nargs="?", const="gzip")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--sync", action="store_true")


def console_producer(options: argparse.Namespace, servers: str) -> int:
    """Send what is typed, a record a line."""
    from pabal.producer import Producer

    reader = _properties([*options.property, *options.reader_property])
    settings = given_settings([*options.producer_property, *options.command_property])
    if options.acks is not None:
        settings["acks"] = options.acks
    if options.compression_codec is not None:
        settings["compression_type"] = options.compression_codec
    if options.batch_size is not None:
        settings["batch_size"] = options.batch_size
    settings.setdefault("client_id", "console-producer")
    settings.setdefault("linger_ms", 0)
    parse = _parser_of(reader)
    prompt = sys.stdin.isatty()
    with Producer(servers, **settings) as producer:
        lines = lines_of(sys.stdin.buffer)
        while True:
            if prompt:
                print(">", end="", flush=True)
            line = next(lines, None)
            if line is None:
                break
            record = parse(line)
            sent = producer.send(options.topic, record.pop("value"), **record)
            if options.sync or prompt:
                sent.result()
    return 0


def _parser_of(reader: dict[str, str]) -> Callable[[bytes], dict[str, Any]]:
    has_headers = _flag(reader, "parse.headers")
    has_key = _flag(reader, "parse.key")
    headers_end = reader.get("headers.delimiter", "\t")
    header_end = reader.get("headers.separator", ",")
    name_end = reader.get("headers.key.separator", ":")
    key_end = reader.get("key.separator", "\t").encode()
    marker = reader.get("null.marker")
    ignore = _flag(reader, "ignore.error")
    count = 0

    def data(text: bytes) -> bytes | None:
        return None if marker is not None and text == marker.encode() else text

    def parse(line: bytes) -> dict[str, Any]:
        nonlocal count
        count += 1
        record: dict[str, Any] = {}
        if has_headers:
            text, found, rest = line.partition(headers_end.encode())
            if not found and not ignore:
                raise PabalError(f"No header delimiter found on line number {count}: {line!r}")
            if found:
                line = rest
                record["headers"] = [
                    (name.decode(), data(value))
                    for name, _, value in (
                        one.partition(name_end.encode())
                        for one in text.split(header_end.encode())
                        if one
                    )
                ]
        if has_key:
            key, found, value = line.partition(key_end)
            if not found and not ignore:
                raise PabalError(f"No key separator found on line number {count}: {line!r}")
            if found:
                return {**record, "key": data(key), "value": data(value)}
        return {**record, "value": data(line)}

    return parse


def add_consumer_options(parser: argparse.ArgumentParser) -> None:
    """The options of kafka-console-consumer."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--topic")
    source.add_argument("--include", metavar="REGEX")
    parser.add_argument("--partition", type=int)
    parser.add_argument("--offset", default="latest")
    parser.add_argument("--from-beginning", action="store_true")
    parser.add_argument("--max-messages", type=int)
    parser.add_argument("--timeout-ms", type=int)
    parser.add_argument("--group")
    parser.add_argument(
        "--isolation-level",
        default="read_uncommitted",
        choices=["read_uncommitted", "read_committed"],
    )
    for name in ("formatter-property", "property", "consumer-property", "command-property"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--skip-message-on-error", action="store_true")


def console_consumer(options: argparse.Namespace, servers: str) -> int:
    """Print what arrives, until it is enough."""
    from pabal.consumer import Consumer

    settings = given_settings([*options.consumer_property, *options.command_property])
    group = options.group or settings.pop("group_id", None)
    if options.partition is None and options.offset != "latest":
        raise PabalError("The partition is required when offset is specified.")
    if group is not None:
        settings["group_id"] = group
    settings.setdefault("client_id", "console-consumer")
    settings.setdefault("isolation_level", options.isolation_level)
    settings.setdefault(
        "auto_offset_reset", "earliest" if options.from_beginning else "latest"
    )
    show = _formatter(_properties([*options.property, *options.formatter_property]))
    count = 0
    with Consumer(bootstrap_servers=servers, **settings) as consumer:
        try:
            _place(consumer, options)
            heard = time.monotonic()
            while options.max_messages is None or count < options.max_messages:
                most = 500 if options.max_messages is None else options.max_messages - count
                records = consumer.poll(timeout=_WAIT, max_records=min(500, most))
                for record in records:
                    sys.stdout.buffer.write(show(record))
                sys.stdout.buffer.flush()
                count += len(records)
                now = time.monotonic()
                if records:
                    heard = now
                elif options.timeout_ms is not None and now - heard > options.timeout_ms / 1000:
                    break
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            pass
    print(f"Processed a total of {count} messages", file=sys.stderr)
    return 0


def _place(consumer: Consumer, options: argparse.Namespace) -> None:
    if options.partition is None:
        if options.include is not None:
            consumer.subscribe(pattern=options.include.replace(",", "|"))
        else:
            consumer.subscribe(options.topic)
        return
    if options.topic is None:
        raise PabalError("The topic is required when partition is specified.")
    place = (options.topic, options.partition)
    consumer.assign([place])
    if options.from_beginning or options.offset == "earliest":
        consumer.seek_to_beginning(place)
    elif options.offset == "latest":
        consumer.seek_to_end(place)
    elif options.offset.isdigit():
        consumer.seek(place, int(options.offset))
    else:
        raise PabalError(
            f"The provided offset value '{options.offset}' is incorrect. "
            "Valid values are 'earliest', 'latest', or a non-negative long."
        )


def _formatter(properties: dict[str, str]) -> Callable[[Record], bytes]:
    """Kafka's DefaultMessageFormatter."""
    separator = properties.get("key.separator", "\t").encode()
    line_end = properties.get("line.separator", "\n").encode()
    header_end = properties.get("headers.separator", ",").encode()
    null = properties.get("null.literal", "null").encode()
    timestamp = _flag(properties, "print.timestamp")
    partition = _flag(properties, "print.partition")
    offset = _flag(properties, "print.offset")
    headers = _flag(properties, "print.headers")
    key = _flag(properties, "print.key")
    value = _flag(properties, "print.value", default=True)

    def show(record: Record) -> bytes:
        parts: list[bytes] = []
        if timestamp:
            parts.append(f"{record.timestamp_type}:{record.timestamp}".encode())
        if partition:
            parts.append(f"Partition:{record.partition}".encode())
        if offset:
            parts.append(f"Offset:{record.offset}".encode())
        if headers:
            pairs = [
                name.encode() + b":" + (null if text is None else text)
                for name, text in record.headers
            ]
            parts.append(header_end.join(pairs) if pairs else b"NO_HEADERS")
        if key:
            parts.append(null if record.key is None else record.key)
        if value:
            parts.append(null if record.value is None else record.value)
        return separator.join(parts) + line_end

    return show


def _properties(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if any(not equals for _, equals, _ in pairs):
        raise PabalError("a property is written NAME=VALUE")
    return {name: text for name, _, text in pairs}


def _flag(properties: dict[str, str], name: str, *, default: bool = False) -> bool:
    return _TRUE.get(properties.get(name, "").strip().lower(), default)
