"""What the conformance tests ask on the wire: generators that ask every advertised version of an
API and yield each answer with a label. One module a family of APIs; importing it registers its
scripts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from conformance.wire import Plain, Wire

Script = Callable[[Wire], Iterator[tuple[str, Plain]]]

SCRIPTS: list[Script] = []
NOW = 1_700_000_000_000


def script(function: Script) -> Script:
    SCRIPTS.append(function)
    return function


def remove_topics(wire: Wire) -> None:
    """Whatever an earlier script left."""
    while names := [
        topic["name"]
        for topic in wire.ask("metadata", 9, topics=None)["topics"]
        if not topic["is_internal"]
    ]:
        wire.ask("delete_topics", 5, topic_names=names, timeout=10_000)


def create(wire: Wire, name: str, partitions: int = 1, **configs: str) -> dict[str, str]:
    """Create a topic; its id, for `normal`."""
    answer = wire.ask(
        "create_topics",
        7,
        topics=[
            {
                "name": name,
                "num_partitions": partitions,
                "replication_factor": 1,
                "configs": [{"name": key, "value": value} for key, value in configs.items()],
            }
        ],
        timeout=10_000,
    )
    assert answer["topics"][0]["error_code"] == "none", answer
    identity = answer["topics"][0]["topic_id"]
    wanted = [
        {"partition_index": index, "current_leader_epoch": -1, "timestamp": -1}
        for index in range(partitions)
    ]
    while True:  # Until every leader leads: Kafka answers before.
        offsets = wire.ask(
            "list_offsets", 8, replica_id=-1, topics=[{"name": name, "partitions": wanted}]
        )
        if all(each["error_code"] == "none" for each in offsets["topics"][0]["partitions"]):
            break
    return {identity: name}


def settled(wire: Wire, api: str, version: int, **fields: Plain) -> Plain:
    """The answer, once the coordinator is there and has loaded: Kafka says so until then."""
    while True:
        answer = wire.ask(api, version, **fields)
        if re.search("coordinator_(load_in_progress|not_available)|not_coordinator", str(answer)):
            time.sleep(0.02)
            continue
        return answer
