#!/usr/bin/env bash
# The driver of AWS KMS over an AWS made elsewhere, moto: KMS, STS and IAM with signatures and policies
# checked. What moto does not do is named in shared/kms/awskms/elsewhere_test.go, test by test, with the
# reason. Needs Go and Python. Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go python3

say "moto $moto_version"
start_moto INITIAL_NO_AUTH_ACTION_COUNT=100000
LATCHKEY_AWS_ENDPOINT=$moto go test ./shared/kms/awskms -run '^TestElsewhere_' -count=1 -v "$@" | tee "$work/tests" | grep -E '^ *--- |^(ok|FAIL)|_test.go|kmstest.go'
checks=$(grep -cE '^ {4}--- PASS' "$work/tests")
skipped=$(grep -cE '^ {4}--- SKIP' "$work/tests")
verified 'AWS KMS driver: conformance (kmstest)' 'moto (KMS, STS, IAM)' "$moto_version" "$checks checks pass with a user's and a role's credentials; $skipped that moto cannot make are listed with the reason"
say 'done'
