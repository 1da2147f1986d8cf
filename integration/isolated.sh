#!/usr/bin/env bash
# The functions' own programs, as they are deployed but for the platform, over the Lambda Runtime
# API and the pocket AWS: that they do all they should with the permissions of the template, and
# that each of these permissions is needed. Needs Go on Linux. Arguments go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
go build -tags lambda.norpc -o "$programs/" ./functions/...
LATCHKEY_FUNCTIONS=$programs go test -count=1 -run '^TestIsolated_' "$@" ./local
