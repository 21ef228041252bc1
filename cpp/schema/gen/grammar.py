"""Reads messages/*.api and */*.rec into Messages. The grammar is in README.md."""

import re
from dataclasses import dataclass, field
from typing import Optional

from text import TableError

SCALARS = {
    "bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
    "float64": 8, "uuid": 16, "string": 1, "bytes": 1, "records": 1,
}  # And the fewest bytes that each takes.
STRONG = {
    "BrokerId": "int32", "PartitionIndex": "int32", "LeaderEpoch": "int32",
    "PartitionEpoch": "int32", "Offset": "int64", "BrokerEpoch": "int64", "ProducerId": "int64",
    "ProducerEpoch": "int16", "ErrorCode": "int16", "TopicId": "uuid", "DirectoryId": "uuid",
    "TopicName": "string", "GroupId": "string", "TransactionalId": "string",
}
OPEN_END = 1 << 15


@dataclass(frozen=True)
class Versions:
    low: int
    high: int

    def within(self, outer):
        return Versions(max(self.low, outer.low), min(self.high, outer.high))

    def __str__(self):
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


@dataclass
class Field:
    name: str
    type: str  # A scalar or the name of a struct.
    array: bool
    versions: Versions
    nullable: Optional[Versions] = None
    strong: Optional[str] = None
    default: Optional[str] = None  # As written; None if nothing is.
    tag: Optional[int] = None
    tag_versions: Optional[Versions] = None
    key: bool = False
    ignorable: bool = False
    zerocopy: bool = False
    never_compact: bool = False
    doc: str = ""
    struct: Optional["Struct"] = None


@dataclass
class Struct:
    name: str
    versions: Versions
    fields: list = field(default_factory=list)
    doc: str = ""
    common: bool = False


@dataclass
class Message:
    name: str
    kind: str  # request, response, header, record, key, value or data.
    key: Optional[int]
    versions: Versions
    flexible: Optional[int]  # First flexible version; None if there is none.
    fields: list
    structs: list  # Those that it contains, inner ones first.
    doc: str
    source: str


@dataclass
class Api:
    key: int
    name: str
    versions: Optional[Versions]  # None: retired.
    flexible: Optional[int]
    listeners: list
    unstable: bool
    to: str  # broker, controller, both or none: who serves it today.
    advertised: Optional[Versions]
    accepted: Optional[Versions]
    response_header: Optional[int]
    doc: str
    source: str
    request: Optional[Message] = None
    response: Optional[Message] = None


def parse_versions(text, outer):
    match = re.fullmatch(r"(\d+)(\+|-(\d+))?", text)
    if not match:
        raise ValueError(f"`{text}` is no range of versions: write 3, 3-5 or 3+")
    low = int(match[1])
    high = int(match[3]) if match[3] else outer.high if match[2] else low
    if low > high or low < outer.low or high > outer.high:
        raise ValueError(f"versions {text} do not lie within {outer}")
    return Versions(low, high)


FIELD = re.compile(
    r"(\w+)\s+(\[)?(\w+)\]?(\?)?(?:\s*:\s*(\w+))?(?:\s*=\s*(\"[^\"]*\"|\S+))?(?:\s+(.*))?$"
)


def parse_field(text, outer, doc):
    match = FIELD.match(text)
    if not match:
        raise ValueError(f"no field: {text}")
    name, bracket, kind, optional, strong, default, rest = match.groups()
    made = Field(name, kind, bool(bracket), outer, strong=strong, default=default, doc=doc)
    words = (rest or "").split()
    if words and re.match(r"v\d", words[0]):
        made.versions = parse_versions(words.pop(0)[1:], outer)
    if optional:
        made.nullable = made.versions
    while words:
        word = words.pop(0)
        ranged = bool(words) and re.match(r"v\d", words[0]) is not None
        if word == "tag" and words:
            made.tag = int(words.pop(0))
            ranged = bool(words) and re.match(r"v\d", words[0]) is not None
            made.tag_versions = (
                parse_versions(words.pop(0)[1:], made.versions) if ranged else made.versions
            )
        elif word == "null" and optional and ranged:
            made.nullable = parse_versions(words.pop(0)[1:], made.versions)
        elif word == "flexible" and words[:1] == ["none"]:
            words.pop(0)
            made.never_compact = True
        elif word in ("key", "ignorable", "zerocopy"):
            setattr(made, word, True)
        else:
            raise ValueError(f"`{word}` means nothing here")
    if strong and strong not in STRONG:
        raise ValueError(f"no strong type is called {strong}")
    if strong and STRONG[strong] != kind:
        raise ValueError(f"{strong} is {STRONG[strong]}, not {kind}")
    return made


class Reading:
    """The lines of one file, with a place to stand."""

    def __init__(self, path):
        self.path = path
        self.rows = []
        comments = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text, _, comment = line.partition("#")
            comment = comment.strip()
            if not text.strip():
                comments = comments + [comment] if comment else []
                continue
            indent = len(text) - len(text.lstrip())
            self.rows.append((number, indent, text.strip(), " ".join([*comments, comment]).strip()))
            comments = []
        self.at = 0

    def fail(self, what, at=None):
        number = self.rows[min(self.at if at is None else at, len(self.rows) - 1)][0]
        raise TableError(self.path, number, what)

    def peek(self):
        return self.rows[self.at] if self.at < len(self.rows) else (0, -1, "", "")

    def next(self):
        self.at += 1
        return self.rows[self.at - 1]


def read_fields(reading, indent, outer, structs):
    fields = []
    while reading.peek()[1] == indent:
        _, _, text, doc = reading.next()
        try:
            made = parse_field(text, outer, doc)
        except ValueError as error:
            reading.fail(str(error), reading.at - 1)
        if any(made.name == other.name for other in fields):
            reading.fail(f"{made.name} stands here twice", reading.at - 1)
        if reading.peek()[1] > indent:
            if made.type in SCALARS:
                reading.fail(f"{made.type} {made.name} has no fields of its own")
            inner = Struct(made.type, made.versions)
            inner.fields = read_fields(reading, reading.peek()[1], made.versions, structs)
            if any(other.name == inner.name for other in structs):
                reading.fail(f"a struct {inner.name} exists already")
            structs.append(inner)
        fields.append(made)
    if reading.peek()[1] > indent:
        reading.fail("too far indented")
    return fields


def read_body(reading, name, kind, key, versions, flexible, doc):
    structs = []
    indent = reading.peek()[1]
    fields = read_fields(reading, indent, versions, structs) if indent > 0 else []
    common = []
    while reading.peek()[1] == 0 and reading.peek()[2].startswith("struct "):
        words = reading.next()
        made = Struct(words[2].split()[1], versions, doc=words[3], common=True)
        made.fields = read_fields(reading, reading.peek()[1], versions, structs)
        common.append(made)
    structs = ordered(structs + common)
    by_name = {struct.name: struct for struct in structs}
    for owner in [fields, *(struct.fields for struct in structs)]:
        for member in owner:
            if member.type not in SCALARS:
                if member.type not in by_name:
                    reading.fail(f"{name}: no struct or type is called {member.type}")
                member.struct = by_name[member.type]
    return Message(name, kind, key, versions, flexible, fields, structs, doc, reading.path.name)


def ordered(structs):
    """Inner structs before those that contain them, else as they stand."""
    done, by_name = [], {struct.name: struct for struct in structs}

    def visit(struct):
        if struct in done:
            return
        for member in struct.fields:
            if member.type in by_name:
                visit(by_name[member.type])
        done.append(struct)

    for struct in structs:
        visit(struct)
    return done


def head(words):
    """`versions 0-9 flexible 6+ …` → {"versions": "0-9", …}"""
    found = {}
    while words:
        word = words.pop(0)
        if word == "unstable":
            found[word] = True
        elif words and word in ("versions", "flexible", "listeners", "to", "advertised",
                                "accepted", "response-header"):
            found[word] = words.pop(0)
        else:
            raise ValueError(f"`{word}` means nothing here")
    return found


ANY = Versions(0, OPEN_END)


def first_flexible(found):
    return int(found["flexible"].rstrip("+")) if "flexible" in found else None


def read_api(path):
    reading = Reading(path)
    _, _, text, doc = reading.next()
    words = text.split()
    try:
        if words[0] != "api":
            raise ValueError("an .api file begins with `api KEY NAME`")
        key, name = int(words[1]), words[2]
        found = head(words[3:])
        retired = found["versions"] == "none"
        versions = None if retired else parse_versions(found["versions"], ANY)
        unstable = found.get("unstable", False)
        to = found.get("to", "none")
        if to not in ("broker", "controller", "both", "none"):
            raise ValueError(f"`to {to}`: say broker, controller, both or none")
        stable = versions and Versions(versions.low, versions.high - unstable)
        advertised = accepted = None
        if to != "none":
            advertised = accepted = stable
            if "advertised" in found:
                advertised = parse_versions(found["advertised"], ANY)
            if "accepted" in found:
                accepted = parse_versions(found["accepted"], versions)
        header = found.get("response-header")
    except (ValueError, KeyError, IndexError) as error:
        reading.fail(str(error), 0)
    api = Api(key, name, versions, first_flexible(found),
              found.get("listeners", "").split(",") if "listeners" in found else [],
              unstable, to, advertised, accepted, None if header is None else int(header),
              doc, path.name)
    if retired:
        return api
    for side in ("request", "response"):
        if reading.peek()[2] != side:
            reading.fail(f"here `{side}` is missing")
        reading.next()
        message = read_body(reading, name + side.capitalize(), side, key, versions, api.flexible,
                            doc)
        setattr(api, side, message)
    if reading.at != len(reading.rows):
        reading.fail("nothing belongs behind the response")
    return api


def read_records(path):
    reading = Reading(path)
    messages = []
    while reading.at < len(reading.rows):
        at = reading.at
        _, _, text, doc = reading.next()
        words = text.split()
        kind = words.pop(0)
        if kind not in ("record", "key", "value", "data", "header"):
            reading.fail("here begins a record, key, value, data or header", at)
        try:
            key = int(words.pop(0)) if kind in ("record", "key", "value") else None
            name = words.pop(0)
            found = head(words)
            versions = parse_versions(found["versions"], ANY)
        except (ValueError, KeyError, IndexError) as error:
            reading.fail(str(error), at)
        messages.append(read_body(reading, name, kind, key, versions, first_flexible(found), doc))
        messages[-1].source = f"{path.parent.name}/{path.name}"
    return messages


def read_schema(schema):
    """All APIs by key, and all other messages."""
    apis = sorted((read_api(path) for path in (schema / "messages").glob("*.api")),
                  key=lambda api: api.key)
    records = []
    for path in [*sorted((schema / "messages").glob("*.rec")),
                 *sorted((schema / "records").glob("*.rec"))]:
        records += read_records(path)
    return apis, records
