// Package latchkey holds what describes the whole suite rather than a part of it: the deployment
// template and the state machines, which the suite on one machine runs from too.
//
// Nothing but local/ and tests may import it: deployed functions know of the template only what
// it puts into their environment.
package latchkey

import (
	"embed"
	"fmt"
)

//go:embed template.yaml
var deploymentTemplate string

// Template is the deployment template, template.yaml.
func Template() []byte { return []byte(deploymentTemplate) }

//go:embed statemachines/*.asl.json
var stateMachines embed.FS

// StateMachine is the definition of a state machine, by its DefinitionUri in the template.
func StateMachine(uri string) ([]byte, error) {
	definition, err := stateMachines.ReadFile(uri)
	if err != nil {
		return nil, fmt.Errorf("the template names a state machine that there is not: %w", err)
	}
	return definition, nil
}
