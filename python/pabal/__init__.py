"""pabal: Kafka as a Python import.

A cluster is an object; any Kafka client may connect to it:

>>> import pabal
>>> with pabal.Cluster(brokers=1) as cluster:
...     orders = cluster.create_topic("orders", partitions=6)
...     orders.partitions
6
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pabal import aio, errors, explore, schemas, serializers, simulation
    from pabal.admin import Admin
    from pabal.broker import Broker
    from pabal.cluster import Clock, Cluster
    from pabal.consumer import Consumer
    from pabal.group import Group
    from pabal.producer import Producer, RecordMetadata
    from pabal.records import Record, TopicPartition
    from pabal.simulation import InvariantViolated, Simulation, SimulationResult
    from pabal.topic import PartitionState, Topic
    from pabal.version import __version__

__all__ = [
    "Admin",
    "Broker",
    "Clock",
    "Cluster",
    "Consumer",
    "Group",
    "InvariantViolated",
    "PartitionState",
    "Producer",
    "Record",
    "RecordMetadata",
    "Simulation",
    "SimulationResult",
    "Topic",
    "TopicPartition",
    "__version__",
    "aio",
    "errors",
    "explore",
    "schemas",
    "serializers",
    "simulation",
]

# Where the names come from, which are imported when they are first asked for: the command line and
# the pytest plugin, which are loaded on every run, need none of them.
_ORIGINS = {
    "Admin": "pabal.admin",
    "Broker": "pabal.broker",
    "Clock": "pabal.cluster",
    "Cluster": "pabal.cluster",
    "Consumer": "pabal.consumer",
    "Group": "pabal.group",
    "InvariantViolated": "pabal.simulation",
    "PartitionState": "pabal.topic",
    "Producer": "pabal.producer",
    "Record": "pabal.records",
    "RecordMetadata": "pabal.producer",
    "Simulation": "pabal.simulation",
    "SimulationResult": "pabal.simulation",
    "Topic": "pabal.topic",
    "TopicPartition": "pabal.records",
    "__version__": "pabal.version",
}
_MODULES = frozenset(("aio", "errors", "explore", "schemas", "serializers", "simulation"))


def __getattr__(name: str) -> object:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"pabal.{name}")
    if name in _ORIGINS:
        value = globals()[name] = getattr(importlib.import_module(_ORIGINS[name]), name)
        return value
    raise AttributeError(f"module 'pabal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
