#!/bin/sh
# Runs the contract suite of the table against moto, a DynamoDB that no one here wrote.
# Needs python3 with moto[server]. PORT chooses the port; the default is a free one.
# Arguments go to go test. Set LATCHKEY_DYNAMODB_ENDPOINT to use another DynamoDB instead.
set -eu
cd "$(dirname "$0")/.."

tests() { go test ./shared/store/dynamo/ -count=1 "$@"; }

if [ -n "${LATCHKEY_DYNAMODB_ENDPOINT:-}" ]; then
	tests "$@"
	exit
fi

port=${PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
log=$(mktemp)
python3 -m moto.server -H 127.0.0.1 -p "$port" >"$log" 2>&1 &
moto=$!
trap 'kill "$moto" 2>/dev/null || true; wait "$moto" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tries=0
until python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)' \
	"http://127.0.0.1:$port/moto-api/data.json" >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ "$tries" -ge 60 ] || ! kill -0 "$moto" 2>/dev/null; then
		echo "dynamo.sh: moto did not start on port $port:" >&2
		cat "$log" >&2
		exit 1
	fi
	sleep 0.5
done

LATCHKEY_DYNAMODB_ENDPOINT=http://127.0.0.1:$port
export LATCHKEY_DYNAMODB_ENDPOINT
# moto's transactions are not isolated from each other.
LATCHKEY_DYNAMODB_ONE_AT_A_TIME=1
export LATCHKEY_DYNAMODB_ONE_AT_A_TIME
tests -rapid.checks=20 "$@"
