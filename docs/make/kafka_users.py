"""The tables of docs/kafka-users.md, from the schema: what is served, differs, or is refused.

`python docs/make/kafka_users.py` writes them into the page; a test asks a broker whether they are
true.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "kafka-users.md"
SCHEMA = ROOT / "cpp" / "schema"

# What users call it, and the requests that clients send for it.
FEATURES = {
    "Producing, with acks 0, 1 and all, and idempotent producers": "Produce InitProducerId",
    "Fetching, with sessions and long polls; offsets by time": "Fetch ListOffsets "
    "OffsetForLeaderEpoch",
    "Consumer groups": "FindCoordinator JoinGroup SyncGroup Heartbeat LeaveGroup OffsetCommit "
    "OffsetFetch ListGroups DescribeGroups DeleteGroups OffsetDelete",
    "Consumer groups of the new protocol (KIP-848)": "ConsumerGroupHeartbeat ConsumerGroupDescribe",
    "Transactions": "AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit WriteTxnMarkers "
    "DescribeTransactions ListTransactions DescribeProducers",
    "Topics and partitions": "CreateTopics DeleteTopics CreatePartitions Metadata "
    "DescribeTopicPartitions DeleteRecords",
    "Settings, static and dynamic": "DescribeConfigs AlterConfigs IncrementalAlterConfigs "
    "ListConfigResources",
    "Clusters of several brokers: reassigning partitions, electing leaders": "ElectLeaders "
    "AlterPartitionReassignments ListPartitionReassignments UnregisterBroker UpdateFeatures",
    "Changing the voters of the metadata quorum (KIP-853)": "AddRaftVoter RemoveRaftVoter",
    "SASL": "SaslHandshake SaslAuthenticate",
    "Users with SCRAM": "DescribeUserScramCredentials AlterUserScramCredentials",
    "Access control lists": "DescribeAcls CreateAcls DeleteAcls",
    "Delegation tokens": "CreateDelegationToken RenewDelegationToken ExpireDelegationToken "
    "DescribeDelegationToken",
    "Client quotas": "DescribeClientQuotas AlterClientQuotas",
    "Share groups (KIP-932)": "ShareGroupHeartbeat ShareGroupDescribe ShareFetch ShareAcknowledge",
    "Streams groups (KIP-1071)": "StreamsGroupHeartbeat StreamsGroupDescribe",
    "Moving replicas between log directories": "AlterReplicaLogDirs",
    "Client telemetry (KIP-714)": "GetTelemetrySubscriptions PushTelemetry",
}


def api_keys() -> dict[str, int]:
    """Kafka's number of each API."""
    found = {}
    for path in sorted((SCHEMA / "messages").glob("[0-9]*_*.api")):
        head = re.search(r"^api (\d+) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if head:
            found[head[2]] = int(head[1])
    return found


def served() -> set[str]:
    """The APIs that a broker serves its clients."""
    found = set()
    for path in sorted((SCHEMA / "messages").glob("[0-9]*_*.api")):
        text = path.read_text(encoding="utf-8")
        head = re.search(r"^api \d+ (\w+) .*\bto (?:broker|both)\b", text, re.MULTILINE)
        if head:
            found.add(head[1])
    return found


def state_of(feature: str, apis: set[str]) -> str:
    """Whether a feature is there: yes, in part or not yet."""
    names = FEATURES[feature].split()
    missing = [name for name in names if name not in apis]
    if not missing:
        return "yes"
    return "not yet" if len(missing) == len(names) else f"without {', '.join(missing)}"


def feature_table() -> str:
    rows = [f"| {feature} | {state_of(feature, served())} |" for feature in FEATURES]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def defaults_table() -> str:
    rows = [
        f"| `{row.name}` | {row.ours} | {row.default} | {sentence(row.reason)} |"
        for row in rows_of_configs()
        if row.ours is not None
    ]
    head = ["| setting | here | in Kafka | because |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *sorted(rows)])


def refused_table() -> str:
    rows = [
        f"| `{row.name}={value}` | {sentence(reason)} |"
        for row in rows_of_configs()
        for value, reason in row.refused
    ]
    return "\n".join(["| setting | because |", "| --- | --- |", *sorted(rows)])


def rows_of_configs() -> list[Any]:
    """What the schema's own reader finds in configs.table."""
    sys.path.insert(0, str(SCHEMA / "gen"))
    import configs

    rows, _ = configs.read(SCHEMA / "configs.table")
    return rows


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


TABLES = {
    "features": feature_table,
    "defaults": defaults_table,
    "refused": refused_table,
}


def renewed(page: str) -> str:
    """The page with all tables as the schema says them now."""
    for name, make in TABLES.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page, count = re.subn(
            pattern, lambda found: found[1] + make() + "\n" + found[2], page, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"{PAGE} has no place for {name}")
    return page


def table(page: str, name: str) -> list[list[str]]:
    """The cells of a table of the page, without its head."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", page, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no table of {name}")
    lines = found[1].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
