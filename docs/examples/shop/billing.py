"""Billing with confluent-kafka: orders in, an invoice out whenever a customer owes 100 or more."""

import json
from collections import Counter

from confluent_kafka import Consumer, Producer

LIMIT = 100


def bill(bootstrap_servers: str, orders: str, invoices: str, count: int) -> None:
    """Read `count` orders, commit them, and leave."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "billing",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    owed: Counter[str] = Counter()
    consumer.subscribe([orders])
    try:
        while count > 0:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise RuntimeError(message.error())
            order = json.loads(message.value())
            owed[order["customer"]] += order["amount"]
            if owed[order["customer"]] >= LIMIT:
                amount = owed.pop(order["customer"])
                invoice = {"customer": order["customer"], "amount": amount}
                producer.produce(invoices, json.dumps(invoice), key=order["customer"])
            count -= 1
        producer.flush()
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
