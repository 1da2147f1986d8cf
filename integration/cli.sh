#!/usr/bin/env bash
# The tests that drive the suite's stand-ins with programs made elsewhere: the AWS CLI against the
# pocket AWS, the Lambda Invoke API and the Step Functions API; Microsoft's clients for Python against
# the pocket Azure; curl, and Python's urllib and requests, against Digest. Needs Go, Python and curl.
# Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go python3 curl

cli=$(awscli)
python=$(venv python 'requests==2.34.2' 'azure-keyvault-keys==4.11.3' 'azure-identity==1.27.0')
PATH=$python:$cli:$PATH # python3 is the one that has these packages
version() { grep -Eo '[0-9]+(\.[0-9]+)+' <<<"$1" | head -n 1; }
aws=$(version "$(aws --version)") curl=$(version "$(curl --version)") python3=$(version "$(python3 --version)")

say "the AWS CLI $aws, curl $curl, Python $python3"
LATCHKEY_CLI_TESTS=1 go test -count=1 "$@" ./local/pocket/awscloud ./local/pocket/azurecloud ./local/lambdasvc ./local/states/sfnapi ./shared/identity/digest

verified 'the pocket AWS, the Lambda Invoke API, the Step Functions API' 'the AWS CLI' "$aws" passes
verified 'the pocket Azure: Entra ID, Key Vault' "Microsoft's azure-identity, azure-keyvault-keys (Python)" '1.27.0, 4.11.3' \
  'passes; each opens what the other sealed'
verified 'Digest' "curl, Python's urllib, requests" "$curl, $python3, 2.34.2" 'all are let in, with MD5; with SHA-256 those that know it'
say "as it should be"
