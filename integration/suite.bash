# shellcheck shell=bash
# The whole suite on this machine, for scripts that have sourced lib.sh: on free ports, with an empty
# data folder, and a tenant's key in the pocket AWS KMS. Needs Go, Python, curl and the AWS CLI.

# expect WHAT PATTERN TEXT: TEXT must match the extended regular expression.
expect() { grep -Eq -- "$2" <<<"$3" || fail "$1: got $3"; echo "  ✓ $1"; }

# within SECONDS WHAT COMMAND...: the command must succeed in time.
within() {
  local until=$((SECONDS + $1)) began=$SECONDS what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ "$SECONDS" -lt "$until" ] || fail "not in time: $what"; sleep 0.5; done
  echo "  ✓ $what, after $((SECONDS - began)) s"
}

# get .a.b.0 reads a member of JSON.
get() { python3 -c 'import functools,json,sys
print(functools.reduce(lambda v, k: v[int(k)] if isinstance(v, list) else v[k], sys.argv[1].strip(".").split("."), json.load(sys.stdin)))' "$1"; }

# start_suite [FLAG...]: sets what `make run` prints (BASE, GROUP_ID, CLOUDS, LAMBDA, AWS_*, api, field), NODES
# and GROUP, which begins the paths of the project.
start_suite() {
  go build -o "$work/latchkey" ./local
  start suite "$work/latchkey" -data "$work/suite" -listen 127.0.0.1:0 -clouds 127.0.0.1:0 -lambda 127.0.0.1:0 \
    -nodes 127.0.0.1:0 -states 127.0.0.1:0 -databases 127.0.0.1:0 "$@"
  within 60 "the suite is ready" grep '^ready' "$work/suite.log"
  sed '/^A key in AWS KMS/q' "$work/suite.log" | grep '^  ' >"$work/shell"
  # shellcheck disable=SC1091
  . "$work/shell"
  NODES=$(sed -n 's/^nodes *//p' "$work/suite.log")
  GROUP=$BASE/api/atlas/v2/groups/$GROUP_ID
}

# a_key makes a tenant's key in AWS KMS (KEY), and has the project reach it by a role (ROLE_ID).
a_key() {
  local role arn
  KEY=$(aws kms create-key --query KeyMetadata.Arn --output text)
  role=$(api -X POST "$GROUP/cloudProviderAccess" --data '{"providerName":"AWS"}')
  ROLE_ID=$(field roleId <<<"$role")
  arn=$(aws iam create-role --role-name latchkey --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17",
    "Statement":[{"Effect":"Allow","Principal":{"AWS":"'"$(field atlasAWSAccountArn <<<"$role")"'"},"Action":"sts:AssumeRole",
    "Condition":{"StringEquals":{"sts:ExternalId":"'"$(field atlasAssumedRoleExternalId <<<"$role")"'"}}}]}')
  aws iam put-role-policy --role-name latchkey --policy-name key --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}'
  api -X PATCH "$GROUP/cloudProviderAccess/$ROLE_ID" --data '{"providerName":"AWS","iamAssumedRoleArn":"'"$arn"'"}' >/dev/null
}

# use_key ARN: the project is encrypted with that key from now on.
use_key() { api -X PATCH "$GROUP/encryptionAtRest" --data '{"awsKms":{"enabled":true,"roleId":"'"$ROLE_ID"'","customerMasterKeyID":"'"$1"'","region":"US_EAST_1"}}'; }

# check_key looks at once whether it is still valid.
check_key() { api -X POST "$BASE/api/latchkey/v1/groups/$GROUP_ID/encryptionAtRest/validate" --data '{}'; }

# a_cluster NAME: three nodes that are encrypted with the project's key.
a_cluster() {
  api -X POST "$GROUP/clusters" --data '{"name":"'"$1"'","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","backupEnabled":true,"replicationSpecs":[
    {"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}'
}

# is_idle NAME: nothing is being done to the cluster.
is_idle() { [ "$(api "$GROUP/clusters/$1" | get stateName)" = IDLE ]; }

# run_task FUNCTION JSON does at once what a schedule asks of a function each minute or so.
run_task() { curl -sS -o /dev/null -X POST "$LAMBDA/2015-03-31/functions/$1/invocations" --data "$2"; }
