#!/usr/bin/env bash
# A tenant's key from beginning to end, in front of your eyes: a cluster is encrypted with a key in
# AWS KMS; the tenant takes the key away and the data is out of reach; the tenant gives it back and
# every byte is there again. The AWS CLI is the tenant, curl is the API's client, and nothing but the
# suite on this machine answers. It ends at the first surprise, and ends only what it started.
# Needs Go, Python and curl; the AWS CLI is installed below .cache where there is none. KEEP=1 leaves the data folder for a look inside.
. "$(dirname "$0")/lib.sh"
need go python3 curl
command -v aws >/dev/null || PATH=$(awscli):$PATH
began=$SECONDS

say()  { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '  %s\n' "$*"; }
fail() { printf '\n  SURPRISE: %s\n' "$*" >&2; exit 1; }
# expect WHAT PATTERN TEXT: TEXT must match the extended regular expression.
expect() { grep -Eq -- "$2" <<<"$3" || fail "$1: got $3"; note "✓ $1"; }
# within SECONDS WHAT COMMAND...: the command must succeed in time.
within() {
  local until=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ "$SECONDS" -lt "$until" ] || fail "not in time: $what"; sleep 0.5; done
  note "✓ $what"
}
# get .a.b.0 reads a member of JSON.
get() { python3 -c 'import functools,json,sys
print(functools.reduce(lambda v, k: v[int(k)] if isinstance(v, list) else v[k], sys.argv[1].strip(".").split("."), json.load(sys.stdin)))' "$1"; }

say "The suite starts on free ports, with an empty data folder"
go build -o "$work/latchkey" ./local
"$work/latchkey" -data "$work/data" -listen 127.0.0.1:0 -clouds 127.0.0.1:0 -lambda 127.0.0.1:0 -nodes 127.0.0.1:0 \
  -states 127.0.0.1:0 -databases 127.0.0.1:0 >"$work/welcome" 2>"$work/suite.log" &
started+=("$!")
for _ in $(seq 100); do grep -q '^ready' "$work/welcome" && break; sleep 0.1; done
grep -q '^ready' "$work/welcome" || fail 'it is not ready after 10 s'
sed '/^A key in AWS KMS/q' "$work/welcome" | grep '^  ' >"$work/shell"
# shellcheck disable=SC1091
source "$work/shell" # BASE, GROUP_ID, DATABASES, CLOUDS, AWS_*, api, field
GROUP=$BASE/api/atlas/v2/groups/$GROUP_ID
VALIDATE=$BASE/api/latchkey/v1/groups/$GROUP_ID/encryptionAtRest/validate
note "API $BASE, clouds $CLOUDS, databases $DATABASES"

say "The tenant makes a key in AWS KMS, and a role that lets the project use it"
KEY=$(aws kms create-key --query KeyMetadata.Arn --output text); note "$KEY"
ROLE=$(api -X POST "$GROUP/cloudProviderAccess" --data '{"providerName":"AWS"}')
ARN=$(aws iam create-role --role-name latchkey --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17",
  "Statement":[{"Effect":"Allow","Principal":{"AWS":"'"$(field atlasAWSAccountArn <<<"$ROLE")"'"},"Action":"sts:AssumeRole",
  "Condition":{"StringEquals":{"sts:ExternalId":"'"$(field atlasAssumedRoleExternalId <<<"$ROLE")"'"}}}]}'); note "$ARN"
aws iam put-role-policy --role-name latchkey --policy-name key --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
  "Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"'"$KEY"'"}]}'
ROLE_ID=$(field roleId <<<"$ROLE")
api -X PATCH "$GROUP/cloudProviderAccess/$ROLE_ID" --data '{"providerName":"AWS","iamAssumedRoleArn":"'"$ARN"'"}' >/dev/null
expect "the project is configured, and the key is valid" '"valid": ?true' "$(api -X PATCH "$GROUP/encryptionAtRest" \
  --data '{"awsKms":{"enabled":true,"roleId":"'"$ROLE_ID"'","customerMasterKeyID":"'"$KEY"'","region":"US_EAST_1"}}')"

say "A cluster of three nodes, encrypted with that key"
size() { echo '[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"'"$1"'","nodeCount":3}}]}]'; }
expect "it is being created" '"stateName": ?"CREATING"' "$(api -X POST "$GROUP/clusters" --data \
  '{"name":"Demo","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","replicationSpecs":'"$(size M10)"'}')"
cluster()   { api "$GROUP/clusters/Demo"; }
is_idle()   { [ "$(cluster | get stateName)" = IDLE ]; }
processes() { api "$GROUP/processes" | python3 -c 'import json,sys; print(" ".join(sorted(p["typeName"] for p in json.load(sys.stdin)["results"])))'; }
are()       { [ "$(processes)" = "$1" ]; }
running='REPLICA_PRIMARY REPLICA_SECONDARY REPLICA_SECONDARY' stopped='NO_DATA NO_DATA NO_DATA'
within 60 "it is IDLE" is_idle
within 10 "its processes are $running" are "$running"

say "400 values go in, from a few bytes to a megabyte each"
cat >"$work/data.py" <<'PY'
"""data.py write|verify: every value follows from its key, so reading back needs no memory."""
import concurrent.futures, hashlib, os, sys, urllib.request

BASE = f"{os.environ['DATABASES']}/{os.environ['GROUP_ID']}/Demo"
CANARY = b"plaintext-of-the-demo-7d1f0c55 "

def value(i):
    size = 1 << 20 if i % 100 == 99 else 100 + i * 37
    seed = CANARY + hashlib.sha256(b"%d" % i).hexdigest().encode() + b"\n"
    return (seed * (size // len(seed) + 1))[:size]

def call(i, method, body=None):
    url = f"{BASE}/{'orders' if i % 2 else 'people'}/plaintext-of-the-demo-key-{i:03d}"
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method=method), timeout=30) as r:
        return r.read()

def write(i):
    call(i, "PUT", value(i))

def verify(i):
    if call(i, "GET") != value(i):
        sys.exit(f"value {i} is not what was written")

with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map({"write": write, "verify": verify}[sys.argv[1]], range(400)))
PY
export DATABASES GROUP_ID
data() { python3 "$work/data.py" "$1"; }
one()  { curl -sS -o "$work/body" -w '%{http_code}' "$@" "$DATABASES/$GROUP_ID/Demo/people/plaintext-of-the-demo-key-000"; }
data write
data verify && note "✓ all of them are read back"

say "What the nodes have on disk"
nodes=$work/data/fleet
note "$(find "$nodes" -name keys.json | wc -l) nodes, $(du -sh --apparent-size "$nodes" | cut -f1) of files"
unreadable() {
  if grep -rqaF -e 'plaintext-of-the-demo' "$nodes"; then fail "the plaintext is in $(grep -rlaF -e 'plaintext-of-the-demo' "$nodes" | head -n 1)"; fi
  note "✓ the plaintext is nowhere in them, neither values nor keys"
}
unreadable
ring=$(find "$nodes" -name keys.json | head -n 1)
sed 1d "$ring" >"$work/ring" # the first line is a checksum
get current.wrapped.blob <"$work/ring" | base64 -d >"$work/wrapped"
expect "the master key of a node is there wrapped, under the tenant's key" "$KEY" "$(cat "$work/ring")"
NODE_ID=$(basename "$(dirname "$(dirname "$ring")")")
unwrap() { # as the tenant, whose key it is
  aws kms decrypt --ciphertext-blob "fileb://$work/wrapped" --query Plaintext --output text \
    --encryption-context "latchkey:group=$GROUP_ID,latchkey:use=master-key/$NODE_ID/$(get current.keyId <"$work/ring")" 2>&1 || true
}
unwrap | base64 -d >"$work/master-key"
python3 - "$work/master-key" "$nodes" <<'PY' || fail "the master key is in the clear in a file"
import pathlib, sys
secret = pathlib.Path(sys.argv[1]).read_bytes()
assert len(secret) == 32, "it does not open"
for form in (secret, secret.hex().encode(), __import__("base64").b64encode(secret)):
    for path in pathlib.Path(sys.argv[2]).rglob("*"):
        assert not path.is_file() or form not in path.read_bytes(), path
PY
note "✓ the tenant can open it with AWS KMS, and in the clear it is in none of the files"
rm "$work/master-key"

say "The tenant disables the key: aws kms disable-key"
aws kms disable-key --key-id "$KEY"
taken=$SECONDS
expect "the next check finds it" '"valid": ?false|KEY_DISABLED|INVALID' "$(api -X POST "$VALIDATE" --data '{}')"
within 60 "the nodes have stopped: $stopped" are "$stopped"
note "  that was $((SECONDS - taken)) s after the key was disabled"
expect "the database answers 503" '^503$' "$(one)"
note "  \"$(cat "$work/body")\""
unreadable
expect "nobody can open the wrapped master key any more" 'DisabledException' "$(unwrap)"

say "An update that is asked for meanwhile is accepted, and waits"
expect "M20 is accepted" '"instanceSize": ?"M20"' "$(api -X PATCH "$GROUP/clusters/Demo" --data '{"replicationSpecs":'"$(size M20)"'}')"
events() { api "$GROUP/events?itemsPerPage=100"; }
expect "it was submitted" 'CLUSTER_UPDATE_SUBMITTED' "$(events)"
if grep -q 'CLUSTER_UPDATE_STARTED' <<<"$(events)"; then fail 'the update did not wait'; fi
note "✓ and not begun"
are "$stopped" || fail "the processes are $(processes)"

say "The tenant enables the key again: aws kms enable-key"
aws kms enable-key --key-id "$KEY"
expect "the next check finds it" '"valid": ?true|VALID' "$(api -X POST "$VALIDATE" --data '{}')"
within 60 "the nodes run: $running" are "$running"
data verify && note "✓ every byte is read back"
updated() { is_idle && grep -q CLUSTER_UPDATE_COMPLETED <<<"$(events)"; }
within 60 "the update that waited is applied" updated

say "AWS KMS cannot be reached: that is no revocation"
curl -sS -X POST "$CLOUDS/_pocket/faults" --data '{"host":"kms.us-east-1.amazonaws.com","fault":"down"}' >/dev/null
answer=$(api -X POST "$VALIDATE" --data '{}')
expect "a check says so" 'UNREACHABLE|KMS_UNREACHABLE' "$answer"
for _ in 1 2 3 4 5 6; do
  sleep 1
  are "$running" || fail "the processes are $(processes)"
  [ "$(one)" = 200 ] || fail "the database answers $(cat "$work/body")"
done
note "✓ nothing stops"
data write && data verify && note "✓ everything is written and read again"
expect "the owners are told" 'ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED' "$(events)"
curl -sS -X DELETE "$CLOUDS/_pocket/faults" >/dev/null

say "The cluster is deleted, and with it its data"
api -X DELETE "$GROUP/clusters/Demo" >/dev/null
gone() { [ -z "$(find "$nodes" -type f 2>/dev/null)" ]; }
within 60 "no file of any node is left" gone

printf '\nAs it should be, in %d s.\n' "$((SECONDS - began))"
