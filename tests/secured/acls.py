#!/usr/bin/env python3
"""Grants and takes permissions on a broker, as lines of JSON on standard input ask, and answers each with a line.

The first line is the client's configuration. Then {"grant": [...]}, {"take": [...]} or {"list": PRINCIPAL}; a permission is
[principal, resource type, resource name, pattern type, operation], in Kafka's words. An answer is given when the broker's
authorizer knows the change, which is a moment after the controller has it.
"""

import json
import sys
import time

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)


def of(kind, permission):
    principal, resource, name, pattern, operation = permission
    operation = AclOperation[operation]
    pattern = ResourcePatternType[pattern]
    return kind(ResourceType[resource], name, pattern, principal, "*", operation, AclPermissionType.ALLOW)


def listed(admin, principal):
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, principal, None, AclOperation.ANY, AclPermissionType.ANY
    )
    found = admin.describe_acls(everything).result()
    return sorted([a.principal, a.restype.name, a.name, a.resource_pattern_type.name, a.operation.name] for a in found)


def change(admin, permissions, granted):
    if granted:
        futures = admin.create_acls([of(AclBinding, p) for p in permissions])
    else:
        futures = admin.delete_acls([of(AclBindingFilter, p) for p in permissions])
    for future in futures.values():
        future.result()
    deadline = time.monotonic() + 20
    principals = {p[0] for p in permissions}
    while time.monotonic() < deadline:
        known = [p for principal in principals for p in listed(admin, principal)]
        if all((p in known) == granted for p in permissions):
            return len(permissions)
        time.sleep(0.02)
    raise TimeoutError(f"the authorizer does not know the change: {permissions}")


def main():
    admin = AdminClient(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        request = json.loads(line)
        if "list" in request:
            answer = listed(admin, request["list"])
        else:
            granted = "grant" in request
            answer = change(admin, request["grant" if granted else "take"], granted)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
