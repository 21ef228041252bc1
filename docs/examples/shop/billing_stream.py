"""The same with FastStream."""

from collections import Counter

from faststream.kafka import KafkaBroker
from pydantic import BaseModel

LIMIT = 100


class Order(BaseModel):
    customer: str
    amount: int


class Invoice(BaseModel):
    customer: str
    amount: int


def billing(bootstrap_servers: str, orders: str, invoices: str) -> KafkaBroker:
    """A service that bills until it is stopped."""
    broker = KafkaBroker(bootstrap_servers)
    publisher = broker.publisher(invoices)
    owed: Counter[str] = Counter()

    @broker.subscriber(orders, group_id="billing-stream", auto_offset_reset="earliest")
    async def bill(order: Order) -> None:
        owed[order.customer] += order.amount
        if owed[order.customer] >= LIMIT:
            invoice = Invoice(customer=order.customer, amount=owed.pop(order.customer))
            await publisher.publish(invoice, key=order.customer.encode())

    return broker
