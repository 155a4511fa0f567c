"""What schemathesis cannot read in docs/openapi.json.

The key for a route is that of the role that the route is for. Rules that no schema can say are kept by bending valid requests,
so that every check stays on: bytes, not characters, are counted; a whole number has no fraction, not even `.0`; `to` is after
`from`, and not too far; nothing happens in the future, nothing expires in the past, and no offset leads out of the century; a
network has no bits behind its prefix; a cursor is what a page gave out.

The stateful phase follows the links to next pages; it asks for small ones, so that there are some.
"""

import ipaddress
import json
import os
import re
import time
from datetime import datetime
from urllib.parse import quote, unquote

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation.meta import TestPhase

ROLES = {"journeys": "analyst", "reports": "viewer", "events": "ingestor", "status": "operator", "keys": "admin"}
BYTES = {"event_id": 128, "user_id": 128, "adjusts": 128, "conversion_id": 128, "note": 200}
NUMBERS = {"occurred_at", "expires_at", "cost_micros", "value_micros", "requests_per_second", "burst", "grace_seconds"}
FIRST, LAST = 946_684_800_000, 4_102_444_799_999  # the first and the last moment there is
PAST = 1_767_225_600_000  # 2026-01-01
REPORT_RANGE = 1_100 * 86_400_000  # limits.report_range
KEYS = {role: os.environ[f"TRIBUTARY_KEY_{role.upper()}"] for role in ROLES.values()}
PAGES = os.environ["TRIBUTARY_PAGES"]  # a file that each next page asked for is written to
GIVEN = set()  # what pages gave out: whose, and the cursor
KEY_IDS = {key.split("_")[2] for key in KEYS.values()}


@schemathesis.auth(refresh_interval=None)
class KeyOfTheRole:
    def get(self, case, context):
        only = os.environ.get("TRIBUTARY_ROLE")  # all routes with the key of one role
        role = only or next((ROLES[tag] for tag in case.operation.tags or () if tag in ROLES), None)
        return role and KEYS[role]

    def set(self, case, key, context):
        if key:
            case.headers["Authorization"] = f"Bearer {key}"


# Lines have no schema of their own: touchpoints and conversions alike keep the contract like this.
line = st.fixed_dictionaries(
    {
        "event_id": st.text("abcdefgh", min_size=1, max_size=8),
        "user_id": st.sampled_from(["ann", "bob", "eve"]),
        "occurred_at": st.integers(1_600_000_000_000, PAST),
    }
)
lines = st.lists(line, min_size=1, max_size=9).map(lambda events: "\n".join(map(json.dumps, events)).encode())
schemathesis.openapi.media_type("application/x-ndjson", lines)


@schemathesis.hook
def before_call(context, case, kwargs):
    # The list of keys tells of those that are asked with; without them little would be asked.
    if case.method == "POST" and (case.path_parameters or {}).get("key_id") in KEY_IDS:
        case.path_parameters["key_id"] = "0" * 16
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for name, value in list((case.path_parameters or {}).items()):
        case.path_parameters[name] = shortened_in_path(name, value)
    for name, value in list((case.query or {}).items()):
        case.query[name] = shortened(name, value)
    if case.query and (case.operation.path, case.query.get("cursor")) not in GIVEN:
        case.query.pop("cursor", None)
    if case.meta.phase.name == TestPhase.STATEFUL and has_pages(case.operation):
        case.query = {**(case.query or {}), "limit": 1 + int((case.query or {}).get("limit", 1)) % 3}
    if case.query:
        bend_query(case.query)
    events = case.body if isinstance(case.body, list) else [case.body]
    for event in events:
        if isinstance(event, dict):
            bend_body(event)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code != 200 or not has_pages(case.operation):
        return
    if (case.operation.path, (case.query or {}).get("cursor")) in GIVEN:
        with open(PAGES, "a") as file:
            file.write(f"{case.operation.label}\n")
    if after := response.json()["next"]:
        GIVEN.add((case.operation.path, after))


def has_pages(operation):
    return any(parameter.name == "cursor" for parameter in operation.query)


def shortened(name, value):
    if not isinstance(value, str):
        return value
    return value.encode()[: BYTES.get(name, 512)].decode(errors="ignore")


def shortened_in_path(name, value):
    """Values of the path are quoted already."""
    if not isinstance(value, str):
        return value
    text = unquote(value)
    short = shortened(name, text)
    return value if short == text else quote(short, safe="")


def bend_query(query):
    if "from" in query and "to" in query:
        begin, end = moment(query["from"]), moment(query["to"])
        if not FIRST <= begin < end <= min(LAST + 1, begin + REPORT_RANGE):
            query["from"], query["to"] = PAST, "2026-02-01"


def bend_body(body):
    for name, value in body.items():
        body[name] = int(value) if name in NUMBERS and isinstance(value, float) else shortened(name, value)
    now = time.time() * 1000
    if "occurred_at" in body and not FIRST <= moment(body["occurred_at"]) <= now:
        body["occurred_at"] = PAST
    if body.get("expires_at") is not None and not now + 60_000 <= moment(body["expires_at"]) <= LAST:
        body["expires_at"] = LAST
    if isinstance(body.get("networks"), list):
        body["networks"] = [network(text) for text in body["networks"]]


def moment(value):
    """Milliseconds since 1970, of any notation."""
    if isinstance(value, str) and not value.isdigit():
        text = re.sub(r"\.[0-9]+", "", value.upper().replace("Z", "+00:00"))
        date = datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00+00:00")
        return int(date.timestamp() * 1000)
    return int(value)


def network(text):
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return "10.0.0.0/8"
