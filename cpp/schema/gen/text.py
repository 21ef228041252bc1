"""Reading tables and writing source text."""

import json
import re


class TableError(Exception):
    """A table says something that cannot be: the file, the line and what is wrong."""

    def __init__(self, path, line, what):
        super().__init__(f"{path}:{line}: {what}")


def rows(path):
    """The lines of a table with their numbers, without comments and blank lines."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def cpp_string(text):
    return json.dumps(text, ensure_ascii=False)


def pascal(snake):
    return "".join(word[:1].upper() + word[1:] for word in snake.split("_"))


def snake(camel):
    """`LastKnownElr` → `last_known_elr`; a run of capitals is one word, and so is KRaft."""
    camel = camel.replace("KRaft", "Kraft")
    parts = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", camel)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parts).lower()


def generated_from(name):
    return f"Generated from cpp/schema/{name}; edit that."
