#!/usr/bin/env bash
# The tests that drive the suite's stand-ins with programs made elsewhere: the AWS CLI against the
# pocket AWS, the Lambda Invoke API and the Step Functions API; curl, and Python's urllib and
# requests, against Digest. Needs Go, Python and curl. Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go python3 curl

cli=$(venv awscli 'awscli==1.45.11')
requests=$(venv requests 'requests==2.34.2')
PATH=$requests:$cli:$PATH # python3 is the one that has requests
version() { grep -Eo '[0-9]+(\.[0-9]+)+' <<<"$1" | head -n 1; }
aws=$(version "$(aws --version)") curl=$(version "$(curl --version)") python=$(version "$(python3 --version)")

say "the AWS CLI $aws, curl $curl, Python $python, requests $(version "$("$requests/pip" show requests)")"
LATCHKEY_CLI_TESTS=1 go test -count=1 "$@" ./local/pocket/awscloud ./local/lambdasvc ./local/states/sfnapi ./shared/identity/digest

verified 'the pocket AWS, the Lambda Invoke API, the Step Functions API' 'the AWS CLI' "$aws" passed
verified 'Digest' curl "$curl" passed
verified 'Digest' "Python's urllib" "$python" passed
verified 'Digest' "Python's requests" 2.34.2 passed
say "as it should be"
