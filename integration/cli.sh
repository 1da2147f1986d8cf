#!/usr/bin/env bash
# The tests that drive the suite's stand-ins with programs made elsewhere: the AWS CLI against the
# pocket AWS, the Lambda Invoke API and the Step Functions API; curl and Python's urllib against
# Digest. Arguments go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in aws curl python3; do
  command -v "$tool" >/dev/null || { echo "cli: $tool is not installed; install it and run this again" >&2; exit 1; }
done

LATCHKEY_CLI_TESTS=1 go test -count=1 "$@" ./local/pocket/awscloud ./local/lambdasvc ./local/states/sfnapi ./shared/identity/digest
