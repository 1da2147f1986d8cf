#!/usr/bin/env bash
# What uses AWS, over an AWS made elsewhere, moto: the driver of AWS KMS with KMS, STS and IAM, which check
# signatures, policies and trust policies; and private endpoints with EC2. What moto does not do is named
# in the files elsewhere_test.go, with the reason. Needs Go and Python. Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go python3

say "moto $moto_version"
start_moto INITIAL_NO_AUTH_ACTION_COUNT=100000
LATCHKEY_AWS_ENDPOINT=$moto go test -p 1 ./shared/kms/awskms ./shared/endpoint/awsvpc -run '^TestElsewhere_' -count=1 -v "$@" | tee "$work/tests" | grep -E '^ *--- |^(ok|FAIL)|_test.go|kmstest.go'
left_out=$(grep -cE 'not possible here|^ {4}--- SKIP' "$work/tests" || true)
checks=$(($(grep -cE '^ {4}--- ' "$work/tests") - left_out))
verified 'AWS KMS driver: conformance (kmstest)' 'moto (KMS, STS, IAM)' "$moto_version" "$checks checks pass with a user's and a role's credentials; $left_out that moto cannot make are listed with the reason"
verified 'private endpoints in AWS' 'moto (EC2)' "$moto_version" 'made once, found by tag and by id, told apart, removed'
say 'done'
