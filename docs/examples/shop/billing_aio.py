"""The same with aiokafka."""

import json
from collections import Counter

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

LIMIT = 100


async def bill(bootstrap_servers: str, orders: str, invoices: str, count: int) -> None:
    """Read `count` orders, commit them, and leave."""
    consumer = AIOKafkaConsumer(
        orders,
        bootstrap_servers=bootstrap_servers,
        group_id="billing-aio",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    owed: Counter[str] = Counter()
    await consumer.start()
    await producer.start()
    try:
        async for message in consumer:
            order = json.loads(message.value)
            owed[order["customer"]] += order["amount"]
            if owed[order["customer"]] >= LIMIT:
                amount = owed.pop(order["customer"])
                invoice = {"customer": order["customer"], "amount": amount}
                key = order["customer"].encode()
                await producer.send_and_wait(invoices, json.dumps(invoice).encode(), key=key)
            count -= 1
            if count == 0:
                break
        await consumer.commit()
    finally:
        await producer.stop()
        await consumer.stop()
