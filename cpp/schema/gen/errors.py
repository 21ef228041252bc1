"""errors.table → base/error_code.{h,cc} and pabal/errors.py."""

import re
from dataclasses import dataclass

from text import TableError, cpp_string, generated_from, pascal, rows

ROW = re.compile(r'(\w+)\s+(-?\d+)\s+(retriable|fatal)\s+"(.*)"\s*$')


@dataclass
class ErrorRow:
    name: str
    code: int
    retriable: bool
    sentence: str

    @property
    def kafka_name(self):
        return self.name.upper()

    @property
    def python_class(self):
        stem = re.sub(r"_(exception|error)$", "", self.name)
        return pascal(stem) + "Error"


def read(path):
    errors = []
    for number, line in rows(path):
        match = ROW.match(line)
        if not match:
            raise TableError(path, number, f"not `name code retriable|fatal \"sentence\"`: {line}")
        errors.append(ErrorRow(match[1], int(match[2]), match[3] == "retriable", match[4]))
        if errors[-1].code != len(errors) - 2:
            raise TableError(path, number, f"codes rise by one from -1, but here is {match[2]}")
    return errors


def header(errors):
    lines = "\n".join(f"    {error.name} = {error.code}," for error in errors)
    return f"""// {generated_from("errors.table")}
// Kafka's error codes. The core answers with them directly; there is no second vocabulary.
#pragma once

#include <cstdint>
#include <string_view>

namespace pabal {{

enum class ErrorCode : std::int16_t {{
{lines}
}};

// Kafka's spelling, NOT_LEADER_OR_FOLLOWER. Codes of a newer peer read UNKNOWN_SERVER_ERROR.
std::string_view error_name(ErrorCode code);
// One sentence for humans; empty for `none`.
std::string_view error_message(ErrorCode code);
// Whether the same request may succeed later.
bool is_retriable(ErrorCode code);

}}  // namespace pabal
"""


def source(errors):
    lines = "\n".join(
        f'    {{"{error.kafka_name}", {str(error.retriable).lower()},\n'
        f"     {cpp_string(error.sentence)}}},"
        for error in errors
    )
    return f"""// {generated_from("errors.table")}
#include "base/error_code.h"

namespace pabal {{
namespace {{

struct Row {{
    std::string_view name;
    bool retriable;
    std::string_view sentence;
}};

// By code, from -1 on.
constexpr Row error_rows[] = {{
{lines}
}};

const Row& row(ErrorCode code) {{
    const int index = static_cast<int>(code) + 1;
    return error_rows[index >= 0 && index < {len(errors)} ? index : 0];
}}

}}  // namespace

std::string_view error_name(ErrorCode code) {{ return row(code).name; }}
std::string_view error_message(ErrorCode code) {{ return row(code).sentence; }}
bool is_retriable(ErrorCode code) {{ return row(code).retriable; }}

}}  // namespace pabal
"""


def python(errors):
    classes = []
    for error in errors:
        if error.name == "none":
            continue
        base = "RetriableError" if error.retriable else "KafkaError"
        sentence = error.sentence.replace('"', "'")
        classes.append(
            f'class {error.python_class}({base}):\n    """{sentence}"""\n\n'
            f'    code = {error.code}\n    name = "{error.kafka_name}"\n'
        )
    names = [error.python_class for error in errors if error.name != "none"]
    names = ["PabalError", "KafkaError", "RetriableError", *names]
    exported = "\n".join(f'    "{name}",' for name in names)
    body = "\n\n".join(classes)
    return f'''# {generated_from("errors.table")}
"""The exceptions of pabal: one class for each of Kafka's error codes."""

from typing import ClassVar

__all__ = [
{exported}
    "error_class",
]


class PabalError(Exception):
    """Whatever pabal raises of its own."""


class KafkaError(PabalError):
    """An error that Kafka's protocol has a code for.

    Attributes
    ----------
    code : int
        Kafka's number of the error.
    name : str
        Kafka's name of the error.
    retriable : bool
        Whether the same call may succeed later.
    """

    code: ClassVar[int] = -1
    name: ClassVar[str] = "UNKNOWN_SERVER_ERROR"
    retriable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class RetriableError(KafkaError):
    """An error that may be gone when the same call is made again."""

    retriable = True


{body}

_classes: dict[int, type[KafkaError]] = {{
    error.code: error
    for base in (KafkaError, RetriableError)
    for error in base.__subclasses__()
    if "code" in vars(error)
}}


def error_class(code: int) -> type[KafkaError]:
    """The exception class of one of Kafka's error codes.

    Examples
    --------
    >>> error_class(3).__name__
    'UnknownTopicOrPartitionError'
    """
    return _classes.get(code, UnknownServerError)
'''


def outputs(path):
    errors = read(path)
    return {
        "base/error_code.h": header(errors),
        "base/error_code.cc": source(errors),
        "python/pabal/errors.py": python(errors),
    }
