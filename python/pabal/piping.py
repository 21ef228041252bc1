"""Records between topics and files: ``pabal produce`` and ``pabal consume``."""

from __future__ import annotations

import base64
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

from pabal.errors import PabalError
from pabal.terminal import print_json

if TYPE_CHECKING:
    from pabal.consumer import Consumer
    from pabal.records import Record

__all__ = ["consume", "document_of", "given_settings", "lines_of", "produce", "record_of"]

# How long one wait for records takes at most, so that a reader hears of the end.
_WAIT = 0.1


def produce(options: Namespace) -> int:
    """Send each line of a file, or of the standard input, as a record."""
    from pabal.producer import Producer

    settings = given_settings(options.client_config)
    if options.acks is not None:
        settings["acks"] = options.acks
    if options.compression is not None:
        settings["compression_type"] = options.compression
    settings.setdefault("client_id", "pabal-produce")
    count = 0
    with ExitStack() as stack:
        lines = _opened(options.file, stack)
        producer = stack.enter_context(_made(Producer, _servers(options), **settings))
        producer.partitions_for(options.topic)  # Before the first line is read.
        for number, line in enumerate(lines_of(lines), 1):
            record = record_of(line, options.format, options.key_separator, number)
            if options.partition is not None:
                record["partition"] = options.partition
            producer.send(options.topic, record.pop("value"), **record)
            count += 1
        producer.flush(options.timeout)
    if options.json:
        return print_json({"topic": options.topic, "records": count})
    print(f"{count} record{'' if count == 1 else 's'}")
    return 0


def record_of(line: bytes, form: str, separator: str | None, number: int) -> dict[str, Any]:
    """What a line says: the arguments of `Producer.send`.

    Examples
    --------
    >>> record_of(b"ann:tea", "lines", ":", 1)
    {'value': b'tea', 'key': b'ann'}
    >>> record_of(b'{"key": "ann", "value": "tea", "headers": {"from": "till"}}', "json", None, 1)
    {'value': b'tea', 'key': b'ann', 'headers': [('from', b'till')]}
    """
    if form == "lines":
        if separator is None:
            return {"value": line}
        key, found, value = line.partition(separator.encode())
        if not found:
            raise PabalError(f"line {number} has no {separator!r} that ends its key")
        return {"value": value, "key": key}
    try:
        document = json.loads(line)
        if not isinstance(document, dict):
            raise TypeError("it is no object")
        record: dict[str, Any] = {"value": _data(document.get("value"))}
        if document.get("key") is not None:
            record["key"] = _data(document["key"])
        headers = document.get("headers")
        if headers:
            pairs = headers.items() if isinstance(headers, dict) else headers
            record["headers"] = [(name, _data(value)) for name, value in pairs]
        for name in ("partition", "timestamp"):
            if document.get(name) is not None:
                record[name] = int(document[name])
    except (ValueError, TypeError) as error:
        raise PabalError(f"line {number} is no record in JSON: {error}") from error
    return record


def _data(value: Any) -> bytes | None:
    """Text as UTF-8, ``{"base64": …}`` as its bytes, anything else as JSON."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return base64.b64decode(value["base64"], validate=True)
    return json.dumps(value).encode()


def consume(options: Namespace) -> int:
    """Print the records of topics."""
    write = _writer(options)
    count = 0
    with _reader(options) as (consumer, ends):
        try:
            while options.count is None or count < options.count:
                most = 500 if options.count is None else min(500, options.count - count)
                records = consumer.poll(timeout=_WAIT, max_records=most)
                for record in records:
                    write(record)
                count += len(records)
                if not records:
                    sys.stdout.flush()
                if not options.follow and ends.reached():
                    break
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has enough, as head does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class _Ends:
    """Whether all that was there at the start has been read."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._ends: dict[Any, int] = {}

    def reached(self) -> bool:
        places = self._consumer.assignment()
        if set(places) != set(self._ends):
            self._ends = self._consumer.end_offsets(*places) if places else {}
        return bool(places) and all(
            self._consumer.position(place) >= end for place, end in self._ends.items()
        )


@contextmanager
def _reader(options: Namespace) -> Iterator[tuple[Consumer, _Ends]]:
    """A consumer that stands where the options say."""
    from pabal.consumer import Consumer

    settings = given_settings(options.client_config)
    settings.setdefault("client_id", "pabal-consume")
    if options.group is not None:
        if options.partition or options.start not in (None, "earliest", "latest"):
            raise PabalError("a group goes on where it is; --from and --partition are for others")
        settings["group_id"] = options.group
    settings.setdefault("auto_offset_reset", "latest" if options.start == "latest" else "earliest")
    settings.setdefault("allow_auto_create_topics", False)
    _check_topics(options)
    with _made(Consumer, bootstrap_servers=_servers(options), **settings) as consumer:
        if options.group is not None:
            consumer.subscribe(*options.topics)
        else:
            places = _start_places(options)
            consumer.assign(places)
            for place, offset in places.items():
                consumer.seek(place, offset)
        yield consumer, _Ends(consumer)


def _check_topics(options: Namespace) -> None:
    from pabal.commands import _admin, _nearest_topic

    with _admin(options) as admin:
        for name in options.topics:
            with _nearest_topic(admin, name):
                admin.describe_topic(name, options.timeout)


def _start_places(options: Namespace) -> dict[tuple[str, int], int]:
    from pabal.commands import _admin
    from pabal.reset import new_offsets, parse_place

    places: dict[tuple[str, int], int] = {}
    try:
        start = parse_place(options.start or "earliest")
        with _admin(options) as admin:
            for topic in options.topics:
                offsets = new_offsets(
                    admin,
                    topic,
                    start,
                    partitions=options.partition or None,
                    committed={},
                    timeout=options.timeout,
                )
                places.update({(topic, index): offset for index, offset in offsets.items()})
    except ValueError as error:
        raise PabalError(str(error)) from error
    return places


def _writer(options: Namespace) -> Callable[[Record], object]:
    out = sys.stdout
    if options.json:
        return lambda record: out.write(json.dumps(document_of(record)) + "\n")
    if options.format is None:
        return lambda record: out.write(f"{_text(record.value)}\n")
    template = options.format.encode().decode("unicode_escape")
    try:
        template.format(**_EXAMPLE)
    except (KeyError, IndexError, ValueError) as error:
        fields = ", ".join(f"{{{name}}}" for name in _EXAMPLE)
        raise PabalError(f"--format knows {fields}, and nothing else ({error})") from error

    def write(record: Record) -> object:
        fields = document_of(record)
        fields.update(key=_text(record.key), value=_text(record.value))
        return out.write(template.format(**fields) + "\n")

    return write


_EXAMPLE = {
    "topic": "",
    "partition": 0,
    "offset": 0,
    "timestamp": 0,
    "key": "",
    "value": "",
    "headers": "",
}


def document_of(record: Record) -> dict[str, Any]:
    """A record as JSON has it, which `record_of` reads again."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": _json(record.key),
        "value": _json(record.value),
        "headers": [[name, _json(value)] for name, value in record.headers],
    }


def _json(data: bytes | None) -> object:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode(errors="replace")


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file without their ends."""
    for line in file:
        yield line.rstrip(b"\r\n") if line.endswith(b"\r\n") else line.rstrip(b"\n")


def given_settings(words: Iterable[str]) -> dict[str, Any]:
    """Client settings as a command line writes them, e.g. ``linger.ms=5``.

    Examples
    --------
    >>> given_settings(["linger.ms=5", "acks=all", "enable.idempotence=false"])
    {'linger_ms': 5, 'acks': 'all', 'enable_idempotence': False}
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise PabalError(f"a setting is written NAME=VALUE, not {word}")
        value: object = {"true": True, "false": False}.get(text, text)
        try:
            value = int(text)
        except ValueError:
            pass
        settings[name.replace(".", "_")] = value
    return settings


def _made(kind: Callable[..., Any], *arguments: object, **settings: object) -> Any:
    """A client; what is wrong with its settings is the caller's fault, told in one line."""
    try:
        return kind(*arguments, **settings)
    except (TypeError, ValueError) as error:
        raise PabalError(str(error)) from error


def _servers(options: Namespace) -> str:
    return str(
        options.bootstrap_server or os.environ.get("PABAL_BOOTSTRAP_SERVER") or "localhost:9092"
    )


def _opened(name: str | None, stack: ExitStack) -> IO[bytes]:
    if name is None or name == "-":
        return sys.stdin.buffer
    return stack.enter_context(open(name, "rb"))
