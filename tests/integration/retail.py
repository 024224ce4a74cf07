"""The Online Retail data set (UCI) as events: one JSON line an order line, then one linking line an
invoice that has a customer."""
import csv
import gzip
import io
import json
import os
from datetime import datetime, timezone

PATHS = [os.environ.get("ONEID_RETAIL_CSV", ""),
         os.path.join(os.path.dirname(__file__), "../../../shared/data/online_retail.csv.gz")]


def find():
    """The path of the data, or None: tests skip and say so."""
    return next((p for p in PATHS if p and os.path.exists(p)), None)


def lines(path):
    """(orders, links): lists of JSON lines."""
    orders, links, seen = [], [], set()
    with gzip.open(path, "rb") as raw:
        for n, row in enumerate(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8-sig"))):
            when = datetime.strptime(row["InvoiceDate"], FORMAT).replace(tzinfo=timezone.utc)
            ts = int(when.timestamp() * 1000)
            quantity, price = int(row["Quantity"]), float(row["UnitPrice"])
            orders.append(json.dumps({
                "message_id": f"line-{n}", "ts": ts, "source": "shop", "ids": {"order": row["InvoiceNo"]},
                "traits": {"country": row["Country"]}, "add": {"qty": quantity},
                "event": {"name": "purchase", "amount": round(quantity * price, 6)}}))
            customer = row["CustomerID"]
            if customer and row["InvoiceNo"] not in seen:
                seen.add(row["InvoiceNo"])
                links.append(json.dumps({
                    "message_id": f"link-{row['InvoiceNo']}", "ts": ts, "source": "crm",
                    "ids": {"order": row["InvoiceNo"], "customer": customer.removesuffix(".0")}}))
    return orders, links


FORMAT = "%Y-%m-%d %H:%M:%S"
