#!/usr/bin/env bash
# The template, expanded by SAM's own translator and deployed by a CloudFormation made elsewhere: its
# functions with their environments and permissions, its state machines and its table are what the
# suite on one machine reads in the same file; and its workflows run to their ends over the functions'
# own programs. Needs Go, Python, zip and the AWS CLI. Arguments go to go test.
. "$(dirname "$0")/lib.sh"
need go python3 zip aws

sam_version=1.170.0 # brings the translator that CloudFormation's transform is
sam=$(venv sam "aws-sam-cli==$sam_version")
translator=$("$sam/python" -c 'import samtranslator; print(samtranslator.__version__)')

say "the functions' programs"
go build -tags lambda.norpc -o "$work/functions/" ./functions/...

say "the template, expanded by SAM translator $translator and deployed into moto $moto_version"
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-east-1 AWS_PAGER=
lambda=$(free_port) # where moto's Step Functions looks for Lambda
start_moto "MOTO_PORT=$lambda"
export AWS_ENDPOINT_URL=$moto
"$sam/python" integration/expand.py template.yaml artifacts >"$work/template.json"
# moto runs no code: it is the tests that run the programs.
touch "$work/bootstrap" && (cd "$work" && zip -q function.zip bootstrap)
aws s3 mb --quiet s3://artifacts 2>/dev/null || aws s3 mb s3://artifacts >/dev/null
aws s3 cp --quiet "$work/function.zip" s3://artifacts/function.zip
aws s3 cp --quiet "$work/template.json" s3://artifacts/template.json
aws cloudformation create-stack --stack-name latchkey --capabilities CAPABILITY_NAMED_IAM \
  --template-url https://s3.amazonaws.com/artifacts/template.json --output text
status=$(aws cloudformation describe-stacks --stack-name latchkey --query 'Stacks[0].StackStatus' --output text)
[ "$status" = CREATE_COMPLETE ] || fail "the stack is $status"
made=$(aws cloudformation list-stack-resources --stack-name latchkey --query 'StackResourceSummaries[].ResourceType' --output text | wc -w)
all=$("$sam/python" -c 'import json, sys; print(len(json.load(sys.stdin)["Resources"]))' <"$work/template.json")
echo "made: $made of $all resources; these are not known to moto:"
grep -o 'No Moto CloudFormation support for .*' "$work/moto.log" | sort | uniq -c
aws lambda list-functions >"$work/functions.json"

say 'what is deployed, and what is read here'
LATCHKEY_DEPLOYED=$moto LATCHKEY_DEPLOYED_FUNCTIONS=$work/functions.json LATCHKEY_FUNCTIONS=$work/functions LATCHKEY_LAMBDA_ADDRESS=127.0.0.1:$lambda \
  go test ./integration/deployed -count=1 -v "$@" | grep -v '^=== '
verified 'template: what is deployed' 'SAM translator, moto (CloudFormation)' "$translator, $moto_version" \
  "$made of $all resources made; functions, permissions, state machines and table are as the suite on one machine reads them"
verified 'template: workflows over the functions'"'"' programs' 'moto (Step Functions, DynamoDB, KMS)' "$moto_version" \
  'all seven end as in our engine, over the programs and the deployed environment'
say 'done'
