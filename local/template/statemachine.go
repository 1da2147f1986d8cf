package template

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// StateMachineType is the type of the resources that StateMachines returns.
const StateMachineType = "AWS::Serverless::StateMachine"

// StateMachine is a Step Functions state machine of the template.
type StateMachine struct {
	// ID is the logical id: "EncryptClusterStateMachine".
	ID string `json:"-"`
	// Kind is the name of its definition's file without the extension: "encrypt-cluster".
	Kind string `json:"-"`
	// Name is the name it is deployed under: "latchkey-encrypt-cluster".
	Name string
	// DefinitionURI is the path of the definition, from the template's folder.
	DefinitionURI string `json:"DefinitionUri"`
	// Substitutions fill in the placeholders of the definition.
	Substitutions map[string]string `json:"DefinitionSubstitutions"`
	// Role is the ARN of the role that it runs as.
	Role string
	// Type is "STANDARD", which is also the default.
	Type    string
	Logging struct {
		Level                string
		IncludeExecutionData bool
		Destinations         []struct {
			CloudWatchLogsLogGroup struct {
				LogGroupARN string `json:"LogGroupArn"`
			}
		}
	}
	Tracing struct{ Enabled bool }

	// Line is where the state machine stands in the file.
	Line int `json:"-"`
}

// definitionExtension ends the name of every definition's file.
const definitionExtension = ".asl.json"

// machineProperties are the properties of a state machine that are known here. Another one would
// make it something else than what runs on one machine.
var machineProperties = []string{
	"DefinitionSubstitutions", "DefinitionUri", "Logging", "Name", "Role", "Tags", "Tracing", "Type",
}

// StateMachines returns the template's state machines in the order of the file.
func (t *Template) StateMachines() ([]StateMachine, error) {
	var machines []StateMachine
	for _, r := range t.OfType(StateMachineType) {
		m, err := machine(r)
		if err != nil {
			return nil, fmt.Errorf("template: line %d: %s: %w", r.Line, r.ID, err)
		}
		machines = append(machines, m)
	}
	return machines, nil
}

func machine(r Resource) (StateMachine, error) {
	for name := range r.Properties {
		if !slices.Contains(machineProperties, name) {
			return StateMachine{}, fmt.Errorf("the property %s is not known here", name)
		}
	}
	m := StateMachine{ID: r.ID, Line: r.Line}
	if err := convert(r.Properties, &m); err != nil {
		return StateMachine{}, err
	}
	kind, ok := strings.CutSuffix(path.Base(m.DefinitionURI), definitionExtension)
	m.Kind = kind
	switch {
	case !strings.HasSuffix(r.ID, "StateMachine"):
		return StateMachine{}, errors.New("the id does not end in StateMachine")
	case !ok || kind == "" || !strings.HasPrefix(m.DefinitionURI, "statemachines/"):
		return StateMachine{}, fmt.Errorf("DefinitionUri is %q, not statemachines/<kind>%s", m.DefinitionURI, definitionExtension)
	case m.Name == "":
		return StateMachine{}, errors.New("there is no Name")
	case m.Role == "":
		return StateMachine{}, errors.New("there is no Role")
	case m.Type != "" && m.Type != "STANDARD":
		return StateMachine{}, fmt.Errorf("the Type %s is not known here; STANDARD is", m.Type)
	}
	return m, nil
}
