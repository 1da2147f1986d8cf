package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// FunctionType is the type of the resources that Functions returns.
const FunctionType = "AWS::Serverless::Function"

// Function is a Lambda function of the template, with the globals merged in.
type Function struct {
	// ID is the logical id: "AdminApiFunction".
	ID string
	// Name is the directory under functions/: "adminapi".
	Name string
	// FunctionName is the name it is deployed under: "latchkey-adminapi".
	FunctionName string
	Description  string
	Environment  map[string]string
	Timeout      time.Duration
	MemorySize   int
	LogGroup     string // logical id
	Statements   []Statement
	Events       []Event
	// SubnetIDs are those of the VPC that it is attached to; it is to none without any.
	SubnetIDs []string
	// URL is how the function is reached by HTTP without an API; nil if it is not.
	URL *FunctionURL
}

// FunctionURL is a Lambda function URL.
type FunctionURL struct {
	AuthType   string // "NONE": the function itself asks who calls
	InvokeMode string // "" or "BUFFERED"
}

// Statement is one statement of a function's policies.
type Statement struct {
	Sid         string
	Effect      string
	Action      Strings
	Resource    Strings
	NotResource Strings // in the place of Resource
	Condition   map[string]any
}

// Event is something that starts a function.
type Event struct {
	Name       string
	Type       string // "Api" or "ScheduleV2"
	Properties map[string]any
}

// Decode reads the event's properties into v.
func (e Event) Decode(v any) error { return convert(e.Properties, v) }

// Strings is a list of strings that may be written as a single one.
type Strings []string

// UnmarshalJSON reads a string or a list of strings.
func (s *Strings) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*s = Strings{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// Functions returns the template's functions in the order of the file.
func (t *Template) Functions() ([]Function, error) {
	var functions []Function
	for _, r := range t.OfType(FunctionType) {
		f, err := t.function(r)
		if err != nil {
			return nil, err
		}
		functions = append(functions, f)
	}
	return functions, nil
}

// functionProperties are the properties of a function that are read here.
type functionProperties struct {
	FunctionName  string
	Description   string
	Timeout       int
	MemorySize    int
	Environment   struct{ Variables map[string]any }
	LoggingConfig struct{ LogGroup string }
	VpcConfig     struct {
		SubnetIDs []string `json:"SubnetIds"`
	}
	Policies []struct{ Statement []Statement }
	Events   map[string]struct {
		Type       string
		Properties map[string]any
	}
	FunctionURLConfig map[string]any `json:"FunctionUrlConfig"`
}

func (t *Template) function(r Resource) (Function, error) {
	name, ok := strings.CutSuffix(r.ID, "Function")
	if !ok {
		return Function{}, fmt.Errorf("template: line %d: the id %s does not end in Function", r.Line, r.ID)
	}
	defaults, _ := t.globals["Function"].(map[string]any)
	var p functionProperties
	if err := convert(merge(defaults, r.Properties), &p); err != nil {
		return Function{}, fmt.Errorf("template: line %d: %s: %w", r.Line, r.ID, err)
	}
	f := Function{
		ID: r.ID, Name: strings.ToLower(name), FunctionName: p.FunctionName, Description: p.Description,
		Environment: map[string]string{}, Timeout: time.Duration(p.Timeout) * time.Second,
		MemorySize: p.MemorySize, LogGroup: p.LoggingConfig.LogGroup,
		SubnetIDs: p.VpcConfig.SubnetIDs,
	}
	if p.FunctionURLConfig != nil {
		var err error
		if f.URL, err = functionURL(p.FunctionURLConfig); err != nil {
			return Function{}, fmt.Errorf("template: line %d: %s: FunctionUrlConfig: %w", r.Line, r.ID, err)
		}
	}
	for k, v := range p.Environment.Variables {
		f.Environment[k] = fmt.Sprint(v)
	}
	for _, policy := range p.Policies {
		f.Statements = append(f.Statements, policy.Statement...)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Events)) {
		f.Events = append(f.Events, Event{Name: k, Type: p.Events[k].Type, Properties: p.Events[k].Properties})
	}
	return f, nil
}

// functionURL reads what a local server can serve as Lambda does, and nothing else.
func functionURL(properties map[string]any) (*FunctionURL, error) {
	for name := range properties {
		if name != "AuthType" && name != "InvokeMode" {
			return nil, fmt.Errorf("the property %s is not known here", name)
		}
	}
	var u FunctionURL
	if err := convert(properties, &u); err != nil {
		return nil, err
	}
	switch {
	case u.AuthType != "NONE":
		return nil, fmt.Errorf("the AuthType %q is not known here; NONE is", u.AuthType)
	case u.InvokeMode != "" && u.InvokeMode != "BUFFERED":
		return nil, fmt.Errorf("the InvokeMode %q is not known here; BUFFERED is", u.InvokeMode)
	}
	return &u, nil
}

// merge lays properties over the globals as SAM does: mappings are merged, lists are joined,
// anything else is replaced.
func merge(under, over any) any {
	switch o := over.(type) {
	case map[string]any:
		u, ok := under.(map[string]any)
		if !ok || u == nil {
			return over
		}
		merged := maps.Clone(u)
		for k, v := range o {
			merged[k] = merge(u[k], v)
		}
		return merged
	case []any:
		if u, ok := under.([]any); ok {
			return append(slices.Clone(u), o...)
		}
	}
	return over
}
