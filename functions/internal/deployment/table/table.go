// Package table opens the deployment's one table.
package table

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/functions/internal/deployment"
	"latchkey/shared/store/dynamo"
)

// Of is the one table of an environment.
func Of(env *deployment.Environment) *dynamo.Table {
	return dynamo.New(dynamodb.NewFromConfig(env.AWS), env.Required("TABLE_NAME"))
}
