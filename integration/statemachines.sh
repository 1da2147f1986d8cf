#!/usr/bin/env bash
# The state machines, executed by two interpreters of the Amazon States Language made elsewhere: moto's,
# over the Step Functions API, and aws-local-stepfunctions. Every way that the tests of statemachines/
# specify, and each task retried, timed out and caught: the same states, calls, output and error as
# local/states/engine. asl-validator reads every file. Needs Go, Node and Python. Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go node npm python3

interpreter=3.0.0
validator=4.0.0

say "asl-validator $validator"
programs=$(npm_install stepfunctions "aws-local-stepfunctions@$interpreter" "asl-validator@$validator")
paths=()
for file in statemachines/*.asl.json; do paths+=(--json-path "$file"); done
"$programs/asl-validator" "${paths[@]}"
verified 'state machines: syntax' asl-validator "$validator" 'every file is valid'

say "moto $moto_version and aws-local-stepfunctions $interpreter"
# The interpreter of moto looks for Lambda at MOTO_PORT, where the tests answer in its place.
lambda=$(free_port)
start_moto "MOTO_PORT=$lambda"
curl --silent --fail --output /dev/null --data '{"stepfunctions": {"execute_state_machine": true}}' "$moto/moto-api/config"
LATCHKEY_STEPFUNCTIONS_ENDPOINT=$moto LATCHKEY_LAMBDA_ADDRESS=127.0.0.1:$lambda \
  LATCHKEY_NODE_MODULES=$(dirname "$programs") \
  go test ./statemachines -count=1 -v "$@" | tee "$work/tests" | grep -E '^(FAIL|ok|--- )|executions|theirs' || true
grep -q '^ok' "$work/tests" || { grep -v '^=== ' "$work/tests" | head -n 200 >&2; exit 1; }
executions=$(grep -oE '[0-9]+ executions' "$work/tests" | awk '{n += $1} END {print n / 2}')
result="$executions executions: the same states, calls, output and error as our engine"
verified 'state machines: execution' 'moto (Step Functions)' "$moto_version" "$result"
verified 'state machines: execution' aws-local-stepfunctions "$interpreter" "$result"
say 'done'
