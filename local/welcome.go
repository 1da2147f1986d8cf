package main

import (
	"fmt"
	"io"
	"text/template"
)

// welcomeText lets a newcomer do the whole thing by pasting: the documents' own steps with the
// AWS CLI as the tenant and curl as the API's client.
var welcomeText = template.Must(template.New("welcome").Parse(`Latchkey runs on this machine. Stop it with Ctrl-C; everything is kept in {{.Data}}.

console  http://{{.API}}/  (sign in with the public and the private key below)
API      http://{{.API}}
clouds   http://{{.Clouds}}
Lambda   http://{{.Lambda}}
nodes    http://{{.Nodes}}
states   http://{{.States}}
mailbox  http://{{.Clouds}}/mailbox  (what people were told: e-mails, text messages, topics, event buses)
{{- if .Databases}}
data     http://{{.Databases}}/{groupId}/{clusterName}/{database}/{key}
{{- end}}

Paste into another shell to be the owner of a project, and its tenant in AWS:

  export BASE=http://{{.API}} PUBLIC_KEY={{.Owner.PublicKey}} PRIVATE_KEY={{.Owner.PrivateKey}}
  export ORG_ID={{.Owner.OrgID}} GROUP_ID={{.Owner.GroupID}}
  export LAMBDA=http://{{.Lambda}} STATES=http://{{.States}} CLOUDS=http://{{.Clouds}} AWS_ENDPOINT_URL=http://{{.Clouds}} AWS_DEFAULT_REGION=us-east-1
{{- if .Databases}}
  export DATABASES=http://{{.Databases}}
{{- end}}
  export AWS_ACCESS_KEY_ID={{.Secrets.TenantAWS.AccessKeyID}} AWS_SECRET_ACCESS_KEY={{.Secrets.TenantAWS.SecretAccessKey}}
  export CLOUD_TOKEN={{.Secrets.Admin}}  # administrator of the tenant's Azure and Google

  api() { curl -sS --user "$PUBLIC_KEY:$PRIVATE_KEY" --digest \
    --header "Accept: application/vnd.atlas.2024-11-13+json" --header "Content-Type: application/vnd.atlas.2024-11-13+json" "$@"; echo; }
  field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

A key in AWS KMS, a role that may use it, and a project that is encrypted with it:

  KEY=$(aws kms create-key --query KeyMetadata.Arn --output text)
  ROLE=$(api -X POST "$BASE/api/atlas/v2/groups/$GROUP_ID/cloudProviderAccess" --data '{"providerName":"AWS"}'); echo "$ROLE"
  ROLE_ID_AWS=$(echo "$ROLE" | field roleId)
  ARN=$(aws iam create-role --role-name latchkey --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17",
    "Statement":[{"Effect":"Allow","Principal":{"AWS":"'$(echo "$ROLE" | field atlasAWSAccountArn)'"},"Action":"sts:AssumeRole",
    "Condition":{"StringEquals":{"sts:ExternalId":"'$(echo "$ROLE" | field atlasAssumedRoleExternalId)'"}}}]}')
  aws iam put-role-policy --role-name latchkey --policy-name key --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"'$KEY'"}]}'
  api -X PATCH "$BASE/api/atlas/v2/groups/$GROUP_ID/cloudProviderAccess/$ROLE_ID_AWS" --data '{"providerName":"AWS","iamAssumedRoleArn":"'$ARN'"}'
  api -X PATCH "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest" \
    --data '{"awsKms":{"enabled":true,"roleId":"'$ROLE_ID_AWS'","customerMasterKeyID":"'$KEY'","region":"US_EAST_1"}}'

{{if .Databases}}A cluster whose three nodes keep their data encrypted with it, and something in it:

  CLUSTERS=$BASE/api/atlas/v2/groups/$GROUP_ID/clusters DATA=$DATABASES/$GROUP_ID/c1/shop/greeting
  api -X POST "$CLUSTERS" --data '{"name":"c1","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","replicationSpecs":[{"regionConfigs":[
    {"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}'
  until api "$CLUSTERS/c1" | grep -q '"stateName":"IDLE"'; do sleep 1; done
  curl -sS -X PUT "$DATA" --data 'hello, world'; curl -sS "$DATA"; echo

Take the key away, see the nodes stop, give it back and read again:

  CHECK=$BASE/api/latchkey/v1/groups/$GROUP_ID/encryptionAtRest/validate  # at once, instead of within 15 minutes
  aws kms disable-key --key-id "$KEY"; api -X POST "$CHECK"
  while curl -sSf -o /dev/null "$DATA" 2>/dev/null; do sleep 1; done; curl -sS "$DATA"; api "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest?pretty=true"
  curl -sS --header "Accept: application/json" "$CLOUDS/mailbox"  # what the project's owners were told; a browser shows it better
  aws kms enable-key  --key-id "$KEY"; api -X POST "$CHECK"
  until curl -sSf "$DATA" 2>/dev/null; do sleep 1; done; echo; api "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest?pretty=true"
{{else}}Take the key away and give it back, and see what the project says of it:

  aws kms disable-key --key-id "$KEY"; sleep 5; api "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest?pretty=true"
  aws kms enable-key  --key-id "$KEY"; sleep 5; api "$BASE/api/atlas/v2/groups/$GROUP_ID/encryptionAtRest?pretty=true"
{{end}}
The same with Azure Key Vault and Google Cloud KMS: docs/quickstart.md.

`))

// welcome prints where everything is and what to paste.
func (s *suite) welcome(w io.Writer, data string) error {
	err := welcomeText.Execute(w, map[string]any{
		"Data": data, "API": s.at.api, "Clouds": s.at.clouds, "Lambda": s.at.lambda, "Nodes": s.at.nodes, "States": s.at.states,
		"Databases": s.at.databases,
		"Owner":     s.owner, "Secrets": s.secrets,
	})
	if err != nil {
		return fmt.Errorf("print the welcome: %w", err)
	}
	return nil
}
