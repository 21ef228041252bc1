"""Kafka's properties from Python values."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["CONFIG_RESOURCES", "CONFIG_SOURCES", "ConfigOperation", "property_text"]

# What settings belong to, and where they come from, with the protocol's numbers.
CONFIG_RESOURCES = {"topic": 2, "broker": 4, "group": 32}
CONFIG_SOURCES = {
    1: "topic",
    2: "broker",
    3: "brokers",
    4: "file",
    5: "default",
    6: "logger",
    8: "group",
}


class ConfigOperation:
    """What becomes of a setting, with IncrementalAlterConfigs' numbers (KIP-339)."""

    SET = 0
    TAKE_BACK = 1
    APPEND = 2
    SUBTRACT = 3

    @classmethod
    def change(cls, name: str, value: str | None) -> tuple[str, int, str | None]:
        """The change to ``value``, or back to the default if it is None.

        Examples
        --------
        >>> ConfigOperation.change("retention.ms", "-1")
        ('retention.ms', 0, '-1')
        """
        return name, cls.TAKE_BACK if value is None else cls.SET, value



def property_text(name: str, value: object) -> str:
    """The text that Kafka's property ``name`` has for ``value``.

    Text stays as it is; numbers and truth values take Kafka's spelling; a `timedelta` becomes
    milliseconds; a list or tuple is joined by commas.

    Raises
    ------
    TypeError
        If ``name`` is no text, or ``value`` is of another type.

    Examples
    --------
    >>> from datetime import timedelta
    >>> property_text("auto.create.topics.enable", False)
    'false'
    >>> property_text("retention.ms", timedelta(days=1))
    '86400000'
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a property is a str, not {type(name).__name__}: {name!r}")
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, timedelta):
        return str(value // timedelta(milliseconds=1))
    if isinstance(value, list | tuple):
        return ",".join(property_text(name, item) for item in value)
    raise TypeError(
        f"the value of {name} is a str, number, bool, timedelta or list, "
        f"not {type(value).__name__}"
    )
