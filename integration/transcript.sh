#!/usr/bin/env bash
# The documents' own curl lines against the suite on this machine, as a newcomer pastes them:
# first what `make run` prints, then docs/quickstart.md, then the lines of the documents that
# differ (v1.0 with pretty and envelope, later version dates, trailing slashes, a body on DELETE).
# Needs Go, Python and curl.
. "$(dirname "$0")/lib.sh"
need go python3 curl
PATH=$(awscli):$PATH

go build -o "$work/latchkey" ./local
"$work/latchkey" -data "$work/data" -listen 127.0.0.1:0 -clouds 127.0.0.1:0 -lambda 127.0.0.1:0 -nodes 127.0.0.1:0 \
  -states 127.0.0.1:0 -databases 127.0.0.1:0 >"$work/welcome" 2>"$work/suite.log" &
started+=("$!")
for _ in $(seq 100); do grep -q '^ready' "$work/welcome" && break; sleep 0.1; done
grep '^ready' "$work/welcome" || fail "the suite is not ready after 10 s"

passed=0
# expect NAME PATTERN TEXT: TEXT must match the extended regular expression.
expect() {
  if ! grep -Eq -- "$2" <<<"$3"; then
    printf 'FAILED  %s\n  want %s\n  got  %s\n' "$1" "$2" "$3" >&2
    exit 1
  fi
  printf 'ok      %s\n' "$1"
  passed=$((passed + 1))
}
# valids prints the valid flags of a transcript in order, for one provider's block.
valids() { grep -Eo "\"$1\": ?\{[^}]*\}" | grep -Eo '"valid": ?(true|false)' | grep -Eo 'true|false' | tr '\n' ' '; }
# quickstart HEADING prints the shell lines of one section of docs/quickstart.md.
quickstart() { awk -v h="## $1" '/^## /{in_section=($0==h)} /^```sh/{f=1;next} /^```/{f=0} f && (in_section || h=="## ")' docs/quickstart.md; }
preamble() { awk '/^## /{exit} /^```sh/{f=1;next} /^```/{f=0} f' docs/quickstart.md; }

# 1. What make run prints: everything that is indented is there to be pasted.
grep '^  ' "$work/welcome" >"$work/paste.sh"
# shellcheck disable=SC1091
source "$work/paste.sh" >"$work/aws.txt" 2>&1 || { cat "$work/aws.txt" >&2; exit 1; }
transcript=$(tr -d '\n' <"$work/aws.txt")
expect 'AWS: a new access role is not authorized'  '"authorizedDate":null' "$transcript"
expect 'AWS: the role is authorized'               '"iamAssumedRoleArn":"arn:aws:iam::111122223333:role/latchkey"' "$transcript"
expect 'AWS: configured, disabled, enabled'        '^true false true $' "$(valids awsKms <<<"$transcript")"
expect 'a cluster keeps data under the key'        '^hello, world$' "$(grep -m1 '^hello' "$work/aws.txt")"
expect 'without the key nobody reads it'           'no primary' "$transcript"
expect 'with the key it is there again'            '^2$' "$(grep -c '^hello, world$' "$work/aws.txt")"

# 2. docs/quickstart.md.
# shellcheck disable=SC1090
source <(preamble)
source <(quickstart 'Azure Key Vault') >"$work/azure.txt" 2>&1 || { cat "$work/azure.txt" >&2; exit 1; }
expect 'Azure: configured, disabled, enabled'      '^true false true $' "$(tr -d '\n' <"$work/azure.txt" | valids azureKeyVault)"
source <(quickstart 'Google Cloud KMS') >"$work/google.txt" 2>&1 || { cat "$work/google.txt" >&2; exit 1; }
expect 'Google: configured, disabled, enabled'     'true false true $' "$(tr -d '\n' <"$work/google.txt" | valids googleCloudKms)"
source <(quickstart 'Another key') >"$work/rotated.txt" 2>&1 || { cat "$work/rotated.txt" >&2; exit 1; }
expect 'the key is rotated, and nothing needs the former one' '"nodes":3[,}].*"formerKeys":\[\].*hello, world' "$(tr -d '\n' <"$work/rotated.txt")"
expect 'the activity feed tells all of it'         'AWS_ENCRYPTION_KEY_ROTATED.*AWS_ENCRYPTION_KEY_VALID.*AWS_ENCRYPTION_KEY_INVALID.*CLUSTER_CREATED' "$(source <(quickstart 'What happened so far') | tr -d '\n')"
source <(quickstart 'When clouds fail') >"$work/faults.txt"
expect 'faults are set and cleared'                '"fault":"timeout".*\{"faults":\[\]\}' "$(tr -d '\n' <"$work/faults.txt")"
expect 'the operator founds an organization'       '"created": ?true.*"privateKey"' "$(source <(quickstart 'The operator') | tr -d '\n')"

# 3. The documents' lines, with nothing changed but the host.
curl_document() { curl --silent --user "$PUBLIC_KEY:$PRIVATE_KEY" --digest "$@"; }
expect 'v1.0 with pretty and envelope (private endpoints document)' '"status": 200,.*"content": \{.*"valid": true' "$(curl_document \
  --header "Accept: application/json" --header "Content-Type: application/json" --include \
  --request PATCH "$BASE/api/atlas/v1.0/groups/$GROUP_ID/encryptionAtRest?pretty=true&envelope=true" --data '
{
"awsKms": {
"enabled": true,
"roleId": "'"$ROLE_ID_AWS"'",
"customerMasterKeyID": "'"$KEY"'",
"region": "US_EAST_1"
}
}' | tr -d '\r\n')"
expect 'requirePrivateNetworking, user keys beside a role, trailing slash' '200 OK.*application/vnd.atlas.2023-01-01\+json.*"requirePrivateNetworking":true' "$(curl_document \
  --header "Accept: application/vnd.atlas.2024-11-13+json" --header "Content-Type: application/vnd.atlas.2024-11-13+json" --include \
  --request PATCH "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest/" --data '
{
"awsKms": {
"accessKeyID": "019dd98d94b4bb778e7552e4",
"customerMasterKeyID": "'"$KEY"'",
"enabled": true,
"region": "US_EAST_1",
"roleId": "'"$ROLE_ID_AWS"'",
"secretAccessKey": "string",
"requirePrivateNetworking": true
}
}' | tr -d '\r\n')"
expect 'and back to false' '"requirePrivateNetworking":false' "$(curl_document \
  --header "Accept: application/vnd.atlas.2024-11-13+json" --header "Content-Type: application/json" \
  --request PATCH "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest/" --data '{"awsKms":{"enabled":true,"requirePrivateNetworking":false}}')"
expect 'the control plane addresses need no authentication' '"outbound"' "$(curl --silent \
  --header "Accept: application/vnd.atlas.2024-11-13+json" "$BASE/api/atlas/v2/unauth/controlPlaneIPAddresses")"
expect 'no Accept header is 406' '"errorCode":"INVALID_VERSION_DATE"' "$(curl_document "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest")"
expect 'a wrong key is 401 with a challenge' '401 Unauthorized.*[Ww][Ww][Ww]-Authenticate: Digest realm="MMS Public API", domain="", nonce="[^"]{32}", algorithm=MD5, qop="auth", stale=false' \
  "$(curl --silent --include --header "Accept: application/vnd.atlas.2024-11-13+json" "$BASE/api/atlas/v2/groups" | tr -d '\r\n')"

printf '\n%d passed, 0 failed\n' "$passed"
verified 'the documents: what they have readers paste' 'the AWS CLI, curl' "$(aws --version | grep -Eo '[0-9.]+' | head -n 1), $(curl --version | grep -Eo '[0-9.]+' | head -n 1)" "$passed lines are answered as they say"
