"""Tells schemathesis what a description cannot: who asks, for which version, and what there is to ask about.

Its one invariant: what the run itself stands on (its key, its project, its cluster) is changed, and never removed.
"""

import json
import os
import zlib

import requests
import schemathesis

# OWN names parameters of paths and what there really is; most requests get these instead of what was generated,
# since nothing but 404 is to be seen otherwise.
OWN = json.loads(os.environ["SCHEMATHESIS_OWN"])
# KEPT is never put into these requests, and taken out of them where schemathesis has found it by itself.
REMOVALS = {
    ("DELETE", "/api/atlas/v2/groups/{groupId}"),
    ("DELETE", "/api/atlas/v2/groups/{groupId}/clusters/{clusterName}"),
    ("DELETE", "/api/atlas/v1.0/groups/{groupId}/clusters/{clusterName}"),
}
KEY_ID = os.environ["SCHEMATHESIS_KEY_ID"]
NOBODY = "0123456789abcdef01234567"

if "PRIVATE_KEY" in os.environ:
    schemathesis.auth.set_from_requests(requests.auth.HTTPDigestAuth(os.environ["PUBLIC_KEY"], os.environ["PRIVATE_KEY"]))


def share(case, name):
    """A number from 0 to 7 that follows from the request, so that a seed repeats it."""
    return zlib.crc32(repr((name, case.method, case.path, case.path_parameters, case.query, case.body)).encode()) % 8


@schemathesis.hook
def before_call(ctx, case, kwargs):
    removal = (case.method.upper(), case.path) in REMOVALS
    parameters = case.path_parameters or {}
    for name in parameters:
        if name in OWN and not removal and share(case, name) > 0:
            parameters[name] = OWN[name]
        elif removal and parameters[name] == OWN.get(name):
            parameters[name] = NOBODY
    if parameters.get("apiUserId") == KEY_ID:
        parameters["apiUserId"] = NOBODY
    raw = case.operation.definition.raw
    versions = raw.get("x-versions", [])
    if versions and share(case, "accept") > 0:
        version = versions[share(case, "version") % len(versions)]
        case.headers = {**(case.headers or {}), "Accept": f"application/vnd.atlas.{version}+json"}


@schemathesis.check
def described_status(ctx, response, case):
    """`default` is for failures of the service. What a client can cause has a status of its own in the description."""
    known = case.operation.definition.raw["responses"]
    method_is_unknown = response.status_code == 405 and case.method.lower() != case.operation.method.lower()
    if str(response.status_code) not in known and not method_is_unknown:
        raise AssertionError(f"{response.status_code} is not described, only {', '.join(known)}")
