// Package executions reads what the executions of a deployment's state machines went through. It is apart
// from what starts them, since hardly any function may read histories.
package executions

import (
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"latchkey/functions/internal/deployment"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awshistory"
)

// Reader reads executions of the state machines that the template names to the function for that, each by its
// kind.
func Reader(env *deployment.Environment) *awshistory.Reader {
	arns := map[workflow.Kind]string{}
	err := json.Unmarshal([]byte(env.Required("SHOWN_STATE_MACHINE_ARNS")), &arns)
	if err == nil && len(arns) == 0 {
		err = errors.New("it names no state machine")
	}
	if err != nil {
		env.Fail("SHOWN_STATE_MACHINE_ARNS", err)
	}
	return awshistory.NewReader(sfn.NewFromConfig(env.AWS), arns, env.Now)
}
