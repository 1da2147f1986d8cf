#!/usr/bin/env bash
# schemathesis reads docs/openapi.yaml and asks the suite on this machine everything that it allows, and
# much that it does not: no answer may be of class 5xx, of a status, media type or header that is not described, or break
# its schema. It signs its requests with requests' Digest. Arguments go to schemathesis.
# TIME is how many seconds it may take (120), SEED repeats the choices of a run. Needs Go, Python and curl.
. "$(dirname "$0")/lib.sh"
. integration/suite.bash
need go python3 curl

fuzzer=schemathesis==4.32.5
programs=$(venv schemathesis "$fuzzer")
PATH=$(awscli):$programs:$PATH

start_suite
a_key
use_key "$KEY" >/dev/null
a_cluster Fuzzed >/dev/null
within 180 "a cluster is IDLE" is_idle Fuzzed
id() { get "results.0.$1"; }
KEY_ID=$(api "$BASE/api/atlas/v2/orgs/$ORG_ID/apiKeys" | id id)
SNAPSHOT=$(api -X POST "$GROUP/clusters/Fuzzed/backup/snapshots" --data '{"description":"x","retentionInDays":1}' | field id)
ALERT_CONFIG=$(api "$GROUP/alertConfigs" | id id)
PROCESS=$(api "$GROUP/processes" | id id)

# ask NAME URL ARGUMENT...: one run; the report is $work/NAME.ndjson.
ask() {
  local name=$1 url=$2 root=$PWD; shift 2
  (
    export SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$root/integration/schemathesis PYTHONDONTWRITEBYTECODE=1 PUBLIC_KEY PRIVATE_KEY
    export SCHEMATHESIS_KEY_ID=$KEY_ID SCHEMATHESIS_OWN='{"groupId":"'$GROUP_ID'","orgId":"'$ORG_ID'","clusterName":"Fuzzed",
      "roleId":"'$ROLE_ID'","snapshotId":"'$SNAPSHOT'","alertConfigId":"'$ALERT_CONFIG'","processId":"'$PROCESS'"}'
    cd "$work" # it leaves files where it is started
    # What it says of its own luck in making requests is no finding.
    nice schemathesis run "$root/docs/openapi.yaml" --url "$url" --no-color --no-shrink --warnings off --suppress-health-check filter_too_much --seed "${SEED:-1}" \
      --generation-database none --phases coverage,fuzzing,stateful --report ndjson --report-ndjson-path "$name.ndjson" --checks \
      not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,described_status "$@"
  )
}

say "the API, for ${TIME:-120} s"
ask api "$BASE" --max-time "${TIME:-120}" --exclude-tag Agents "$@"
say "what agents call"
ask agents "$NODES" --max-time 15 --include-tag Agents "$@"
python3 integration/schemathesis/summary.py "$work/api.ndjson"
expect "the key that asked is still good" '"totalCount"' "$(api "$GROUP/clusters")"

verified 'the API: docs/openapi.yaml' schemathesis "${fuzzer#*==}" 'all operations: no answer of class 5xx, none that is not described'
say "as it should be"
