// Package workflows starts the state machines of a deployment.
package workflows

import (
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"latchkey/functions/internal/deployment"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awssfn"
)

// Starter starts the state machines that the template names to the function, each by its kind.
func Starter(env *deployment.Environment) *awssfn.Starter {
	arns := map[workflow.Kind]string{}
	err := json.Unmarshal([]byte(env.Required("STATE_MACHINE_ARNS")), &arns)
	if err == nil && len(arns) == 0 {
		err = errors.New("it names no state machine")
	}
	if err != nil {
		env.Fail("STATE_MACHINE_ARNS", err)
	}
	return awssfn.NewStarter(sfn.NewFromConfig(env.AWS), arns)
}
