// Command adminapi serves the operations that need the table and workflows alone. Its role may use
// the table, seal the secrets of identities and of notifications, start workflows, and read what they went
// through; it reaches no tenant's cloud.
package main

import (
	"context"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/executions"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/functions/internal/deployment/workflows"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/suite/adminapi"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	controlPlane, err := adminapi.ParseControlPlane([]byte(env.Optional("CONTROL_PLANE_IPS")), env.AWS.Region)
	if err != nil {
		env.Fail("CONTROL_PLANE_IPS", err)
	}
	return apigw.New(adminapi.New(adminapi.Deps{
		Table: table.Of(env), Sealer: sealing.Sealer(env), Now: env.Now, Log: env.Log, EventRetention: env.EventRetention(),
		ControlPlane: controlPlane, Build: commit(), Start: workflows.Starter(env), Runs: executions.Reader(env), Domain: env.NodeDomain(),
	})), nil
}

// commit is what the program was built from, "" if the build does not say.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
