#!/usr/bin/env bash
# The table over DynamoDBs made elsewhere: DynamoDB Local, which is AWS's own, and moto. Both run the
# contract that every table keeps, and are checked for linearizability. Needs Go, Java, Maven and
# Python. LATCHKEY_DYNAMODB_ENDPOINT uses another DynamoDB instead. Arguments go to go test.
. "$(dirname "$0")/lib.sh"

dynamodb_local_version=2.6.1

tests() { go test ./shared/store/dynamo -run '^TestIntegration_' -count=1 "$@"; }

if [ -n "${LATCHKEY_DYNAMODB_ENDPOINT:-}" ]; then
  tests "$@"
  exit
fi
need go java mvn python3

say "DynamoDB Local $dynamodb_local_version"
folder=$(maven dynamodb-local "com.amazonaws:DynamoDBLocal:$dynamodb_local_version")
port=$(free_port)
start dynamodb-local env -C "$work" java -Djava.library.path="$folder" -cp "$folder/*" \
  com.amazonaws.services.dynamodbv2.local.main.ServerRunner -inMemory -disableTelemetry -port "$port"
wait_http "http://127.0.0.1:$port"
LATCHKEY_DYNAMODB_ENDPOINT=http://127.0.0.1:$port tests "$@"
verified 'the table: contract (storetest)' 'DynamoDB Local' "$dynamodb_local_version" 'passes, concurrent requests included'
verified 'the table: linearizability' 'DynamoDB Local' "$dynamodb_local_version" '40 histories of 4 concurrent clients are linearizable'
stop "${started[-1]}"

say "moto $moto_version"
start_moto
# A transaction of moto's that fails puts a copy of the whole table back that it made before, and with
# it undoes what others were told is written meanwhile; so one request is sent at a time.
LATCHKEY_DYNAMODB_ENDPOINT=$moto LATCHKEY_DYNAMODB_ONE_AT_A_TIME=1 tests -rapid.checks=20 "$@"
verified 'the table: contract (storetest)' moto "$moto_version" 'passes, one request at a time: its transactions are not isolated from each other'
verified 'the table: linearizability' moto "$moto_version" 'passes, one request at a time'
say 'done'
