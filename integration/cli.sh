#!/usr/bin/env bash
# The tests that drive the suite's stand-ins with programs made elsewhere: the AWS CLI against the
# pocket AWS, the Lambda Invoke API and the Step Functions API; Microsoft's clients for Python against
# the pocket Azure; curl, and Python's urllib and requests, against Digest. Needs Go, Python and curl.
# Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go python3 curl

cli=$(venv awscli 'awscli==1.45.11')
python=$(venv python 'requests==2.34.2' 'azure-keyvault-keys==4.11.3' 'azure-identity==1.27.0')
PATH=$python:$cli:$PATH # python3 is the one that has these packages
version() { grep -Eo '[0-9]+(\.[0-9]+)+' <<<"$1" | head -n 1; }
aws=$(version "$(aws --version)") curl=$(version "$(curl --version)") python3=$(version "$(python3 --version)")

say "the AWS CLI $aws, curl $curl, Python $python3"
LATCHKEY_CLI_TESTS=1 go test -count=1 "$@" ./local/pocket/awscloud ./local/pocket/azurecloud ./local/lambdasvc ./local/states/sfnapi ./shared/identity/digest

verified 'the pocket AWS, the Lambda Invoke API, the Step Functions API' 'the AWS CLI' "$aws" passed
verified 'Digest' curl "$curl" passed
verified 'Digest' "Python's urllib" "$python3" passed
verified 'Digest' "Python's requests" 2.34.2 passed
verified 'the pocket Entra ID and Key Vault' "Microsoft's azure-identity and azure-keyvault-keys for Python" '1.27.0, 4.11.3' passed
say "as it should be"
