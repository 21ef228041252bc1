"""Consumer groups: coordinators, members, positions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from conformance.scripts import create, script, settled
from conformance.wire import Plain, Wire


@script
def find_coordinator(wire: Wire) -> Iterator[tuple[str, Plain]]:
    settled(wire, "find_coordinator", 2, key="coordinated", key_type=0)
    for version in range(7):
        for key, kind in (("coordinated", 0), ("", 0), ("coordinated", 9)):
            answer = wire.ask(
                "find_coordinator", version, key=key, key_type=kind, coordinator_keys=[key, "other"]
            )
            if answer.get("error_code") == "none":
                answer.pop("error_message", None)  # Kafka's says "NONE" before version 4.
            yield f"v{version} {key} {kind}", answer


@script
def committed_offsets(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "offsets-a", 2)
    yield "topic ids", ids
    identity = next(iter(ids))
    absent = str(uuid.UUID(int=66))

    def topics(by_id: bool, **fields: Plain) -> Plain:
        if by_id:
            return [{"topic_id": each} | fields for each in (identity, absent)]
        return [{"name": name} | fields for name in ("offsets-a", "offsets-absent")]

    for version in range(2, 11):
        for label, member in {
            "alone": {"generation_id_or_member_epoch": -1, "member_id": ""},
            "generation": {"generation_id_or_member_epoch": 5, "member_id": ""},
            "member": {"generation_id_or_member_epoch": -1, "member_id": "nobody"},
        }.items():
            fields = {
                "group_id": f"group-{version}",
                "retention_time": -1,
                "topics": topics(
                    version >= 10,
                    partitions=[
                        {
                            "partition_index": index,
                            "committed_offset": 40 + version,
                            "committed_leader_epoch": 0,
                            "committed_metadata": "words",
                        }
                        for index in (0, 7)
                    ],
                ),
            }
            yield f"commit v{version} {label}", settled(
                wire, "offset_commit", version, **fields, **member
            )
        yield (
            f"commit v{version} long",
            settled(
                wire,
                "offset_commit",
                version,
                group_id=f"group-{version}",
                generation_id_or_member_epoch=-1,
                member_id="",
                retention_time=-1,
                topics=topics(
                    version >= 10,
                    partitions=[
                        {
                            "partition_index": 1,
                            "committed_offset": 1,
                            "committed_leader_epoch": -1,
                            "committed_metadata": "x" * 5000,
                        }
                    ],
                )[:1],
            ),
        )
    for version in range(1, 11):
        for group in ("group-5", "group-absent"):
            for label, indexes in {"named": [0, 1, 9], "all": None}.items():
                if indexes is None and version < 2:
                    continue
                named = topics(version >= 10, partition_indexes=indexes) if indexes else None
                yield (
                    f"fetch v{version} {group} {label}",
                    settled(
                        wire,
                        "offset_fetch",
                        version,
                        group_id=group,
                        topics=named,
                        groups=[{"group_id": group, "member_id": None, "topics": named}],
                        require_stable=version % 2 == 0,
                    ),
                )
    delete = {
        "topics": [
            {
                "name": name,
                "partitions": [{"partition_index": index} for index in (0, 3)],
            }
            for name in ("offsets-a", "offsets-absent")
        ]
    }
    for group in ("group-2", "group-absent", ""):
        yield f"delete {group}", settled(wire, "offset_delete", 0, group_id=group, **delete)
    yield "deleted", settled(wire, "offset_fetch", 5, group_id="group-2", topics=None)


@script
def groups(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "groups-a")
    settled(wire, "find_coordinator", 2, key="any", key_type=0)
    nobody = {"group_id": "group-nobody", "generation_id": 1, "member_id": "nobody"}
    for group in ("group-nobody", ""):
        for version in range(5):
            yield (
                f"heartbeat v{version} {group}",
                settled(wire, "heartbeat", version, **nobody | {"group_id": group}),
            )
        for version in range(6):
            members = [{"member_id": "nobody", "group_instance_id": None}]
            yield (
                f"leave v{version} {group}",
                settled(
                    wire,
                    "leave_group",
                    version,
                    group_id=group,
                    member_id="nobody",
                    members=members,
                ),
            )
            yield (
                f"sync v{version} {group}",
                settled(
                    wire,
                    "sync_group",
                    version,
                    **nobody | {"group_id": group},
                    protocol_type="consumer",
                    protocol_name="range",
                ),
            )
        for version in range(7):
            yield (
                f"describe v{version} {group}",
                settled(
                    wire,
                    "describe_groups",
                    version,
                    groups=[group],
                    include_authorized_operations=version % 2 == 1,
                ),
            )
        for version in range(3):
            yield (
                f"delete v{version} {group}",
                settled(wire, "delete_groups", version, groups_names=[group]),
            )
    for version in range(10):
        group = f"group-join-{version}-{uuid.uuid4()}"  # Nobody was in it before.
        yield "topic ids", {group: f"group-join-{version}"}
        join = {
            "group_id": group,
            "session_timeout": 6_000,
            "rebalance_timeout": 1000,
            "member_id": "",
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b"\0\0"}],
        }
        for label, fields in {
            "no group": {"group_id": ""},
            "no protocol": {"protocols": []},
            "short session": {"session_timeout": 10},
            "long session": {"session_timeout": 10**8},
            "stranger": {"member_id": "stranger"},
        }.items():
            yield f"join v{version} {label}", settled(wire, "join_group", version, **join | fields)
        joined = settled(wire, "join_group", version, **join)
        if joined["error_code"] == "member_id_required":
            yield f"join v{version} without id", renamed(joined, joined["member_id"])
            join["member_id"] = joined["member_id"]
            joined = settled(wire, "join_group", version, **join)
        member = joined["member_id"]
        yield f"join v{version}", renamed(joined, member)
        known = {
            "group_id": join["group_id"],
            "generation_id": joined["generation_id"],
            "member_id": member,
        }
        if version < 6:
            synced = settled(
                wire,
                "sync_group",
                version,
                **known,
                protocol_type="consumer",
                protocol_name="range",
                assignments=[{"member_id": member, "assignment": b"mine"}],
            )
            synced["assignment"] = synced["assignment"].hex()
            yield f"sync v{version}", synced
        if version < 5:
            yield f"heartbeat v{version}", settled(wire, "heartbeat", version, **known)
            late = known | {"generation_id": 9}
            yield f"late heartbeat v{version}", settled(wire, "heartbeat", version, **late)
        if version < 7:
            described = settled(wire, "describe_groups", version, groups=[join["group_id"]])
            for group_described in described["groups"]:
                for each in group_described["members"]:
                    each.pop("client_host")
                    each["member_metadata"] = each["member_metadata"].hex()
                    each["member_assignment"] = each["member_assignment"].hex()
            yield f"describe v{version}", renamed(described, member)
        if version < 6:
            filters: dict[str, Plain] = {"states_filter": [], "types_filter": []}
            for label, given in {
                "all": {},
                "stable": {"states_filter": ["Stable"]},
                "empty": {"states_filter": ["Empty", "Dead"]},
                "wrong": {"states_filter": ["Excited"]},
                "classic": {"types_filter": ["classic"]},
                "consumer": {"types_filter": ["consumer"]},
            }.items():
                listed = settled(wire, "list_groups", version, **filters | given)
                listed["groups"] = [
                    each for each in listed["groups"] if each["group_id"] == join["group_id"]
                ]
                yield f"list v{version} {label}", listed
        if version < 3:
            yield (
                f"delete v{version} in use",
                settled(wire, "delete_groups", version, groups_names=[join["group_id"]]),
            )
        if version < 6:
            left = settled(
                wire,
                "leave_group",
                version,
                group_id=join["group_id"],
                member_id=member,
                members=[{"member_id": member, "group_instance_id": None}],
            )
            yield f"leave v{version}", renamed(left, member)
        if version < 3:
            yield (
                f"delete v{version}",
                settled(wire, "delete_groups", version, groups_names=[join["group_id"]]),
            )


def renamed(answer: Plain, member: str) -> Plain:
    """The answer with a name for a member whose id is chance."""
    if isinstance(answer, dict):
        return {key: renamed(item, member) for key, item in answer.items()}
    if isinstance(answer, list):
        return [renamed(item, member) for item in answer]
    if isinstance(answer, bytes):
        return answer.hex()
    return "<member>" if member and answer == member else answer
