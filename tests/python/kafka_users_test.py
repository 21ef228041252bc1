"""The page for Kafka users promises nothing that a broker does not keep."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest

import pabal
from conformance.wire import Wire

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kafka-users.md").read_text(encoding="utf-8")

BROKER = 4


def _tables() -> Any:
    path = ROOT / "docs" / "make" / "kafka_users.py"
    spec = importlib.util.spec_from_file_location("kafka_users", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = _tables()


def too_modest(what: str) -> None:
    """More is there than the page says: nobody is misled, so that the test goes on."""
    pytest.skip(f"docs/kafka-users.md IS BEHIND: {what}; `make docs` writes it anew")


def test_what_is_said_to_be_served_is_advertised(pabal_cluster: pabal.Cluster) -> None:
    port = int(pabal_cluster.broker(0).address.rpartition(":")[2])
    with Wire(port) as wire:
        software = {"client_software_name": "docs", "client_software_version": "1"}
        answer = wire.ask("api_versions", 3, **software)
    keys = {row["api_key"] for row in answer["api_keys"]}
    numbers = tables.api_keys()
    advertised = {name for name, key in numbers.items() if key in keys}
    rows = dict(tables.table(PAGE, "features"))
    assert list(rows) == list(tables.FEATURES)
    for feature, names in tables.FEATURES.items():
        assert set(names.split()) <= set(numbers), f"{feature} names an API that is none"
    better = []
    for feature, said in rows.items():
        true = tables.state_of(feature, advertised)
        if said != true:
            missing = set(said.removeprefix("without ").replace(",", "").split())
            still = set(true.removeprefix("without ").replace(",", "").split())
            assert said != "yes", f"{feature}: {true}"
            assert said == "not yet" or (true != "not yet" and still <= missing), feature
            better.append(feature)
    if better:
        too_modest(f"served are {', '.join(better)}")


def test_the_defaults_are_those_in_force(pabal_cluster: pabal.Cluster) -> None:
    default = 5
    in_force = {
        name: (value, source)
        for name, value, source, *_ in pabal_cluster._admin().describe_configs(BROKER, "0")
    }
    rows = tables.table(PAGE, "defaults")
    for name, here, kafka, reason in rows:
        value, source = in_force.get(name.strip("`"), (here, default))  # Else a group's.
        if source == default:
            assert value == here, name
        assert here != kafka
        assert reason
    if rows != tables.table(tables.renewed(PAGE), "defaults"):
        too_modest("a default differs from Kafka's and is not in the table")


def test_what_is_said_to_be_refused_is_refused(pabal_cluster: pabal.Cluster) -> None:
    for setting, _ in tables.table(PAGE, "refused"):
        name, _, value = setting.strip("`").partition("=")
        if name.startswith("log."):
            continue  # The broker's word for the same.
        try:
            pabal_cluster.create_topic("refused", config={name: value})
        except pabal.errors.InvalidConfigError:
            continue
        pabal_cluster.delete_topic("refused")
        too_modest(f"{name}={value} is taken")


def test_a_server_properties_of_kafkas_is_taken(pabal_cluster_factory: Any) -> None:
    # Known to Kafka, of no use here: a warning in the log and no more.
    with warnings.catch_warnings():
        cluster = pabal_cluster_factory(config={"num.network.threads": 3})
    assert any("num.network.threads" in line for line in cluster.broker(0).log_tail())
