"""pabal: Kafka as a Python import.

A cluster is an object; any Kafka client may connect to it:

>>> import pabal
>>> with pabal.Cluster(brokers=1) as cluster:
...     orders = cluster.create_topic("orders", partitions=6)
...     orders.partitions
6
"""

from pabal import errors
from pabal.cluster import Broker, Cluster, Topic
from pabal.version import __version__

__all__ = ["Broker", "Cluster", "Topic", "__version__", "errors"]
