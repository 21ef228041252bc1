"""Kafka's properties from Python values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

__all__ = [
    "CONFIG_RESOURCES",
    "CONFIG_SOURCES",
    "ConfigOperation",
    "broker_properties",
    "property_text",
]

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


def broker_properties(config: Mapping[str, object]) -> dict[str, str]:
    """The texts of brokers' properties, all of which Kafka has.

    Raises
    ------
    TypeError
        As `property_text` says.
    pabal.errors.InvalidConfigError
        If there is no setting of such a name; the message has the nearest one.

    Examples
    --------
    >>> broker_properties({"num.partitions": 6})
    {'num.partitions': '6'}
    >>> broker_properties({"num.partition": 6})
    Traceback (most recent call last):
        ...
    pabal.errors.InvalidConfigError: ... did you mean 'num.partitions'?
    """
    from pabal import _core
    from pabal.errors import InvalidConfigError

    properties = {name: property_text(name, value) for name, value in config.items()}
    for name in properties:
        if unknown := _core.unknown_setting(name):
            raise InvalidConfigError(unknown)
    return properties
