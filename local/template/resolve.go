package template

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// resolver replaces intrinsic functions by values. Attributes of resources are made up, but in
// the form that AWS gives them, so that code which parses an ARN finds one.
type resolver struct {
	values     map[string]string     // parameters, pseudo parameters and resources, as Ref gives them
	types      map[string]string     // of resources
	machines   map[string]*yaml.Node // the names of state machines, of which their ARNs are made
	roles      map[string]*yaml.Node // the names of roles that have one, likewise
	conditions map[string]*yaml.Node
	deciding   []string // conditions being decided, to find a circle
	naming     bool     // whether a name is being resolved, to find a circle
}

func pseudoParameters(opts Options) map[string]string {
	return map[string]string{
		"AWS::StackName": cmp.Or(opts.StackName, "latchkey"),
		"AWS::Region":    cmp.Or(opts.Region, "us-east-1"),
		"AWS::AccountId": cmp.Or(opts.AccountID, "123456789012"),
		"AWS::Partition": "aws",
		"AWS::URLSuffix": "amazonaws.com",
	}
}

// What SAM puts behind a function's logical id to name its URL and its role.
const (
	urlSuffix  = "Url"
	urlType    = "AWS::Lambda::Url"
	roleSuffix = "Role"
	roleType   = "AWS::IAM::Role"
)

// declare gives every resource the value that Ref has for it: its logical id, and the ARN of a
// state machine. The role that SAM makes for a function is taken to be named like the function.
func (r *resolver) declare(resources *yaml.Node) error {
	r.types, r.machines, r.roles = map[string]string{}, map[string]*yaml.Node{}, map[string]*yaml.Node{}
	return eachPair(resources, func(name, value *yaml.Node) error {
		var head struct {
			Type       string `yaml:"Type"`
			Properties struct {
				FunctionURLConfig yaml.Node `yaml:"FunctionUrlConfig"`
				FunctionName      yaml.Node `yaml:"FunctionName"`
				Name              yaml.Node `yaml:"Name"`
				RoleName          yaml.Node `yaml:"RoleName"`
			} `yaml:"Properties"`
		}
		if err := value.Decode(&head); err != nil {
			return fmt.Errorf("line %d: %w", name.Line, err)
		}
		r.types[name.Value] = head.Type
		r.values[name.Value] = name.Value
		switch head.Type {
		case FunctionType:
			r.types[name.Value+roleSuffix], r.roles[name.Value+roleSuffix] = roleType, &head.Properties.FunctionName
			if !head.Properties.FunctionURLConfig.IsZero() {
				r.types[name.Value+urlSuffix] = urlType
			}
		case roleType:
			r.roles[name.Value] = &head.Properties.RoleName
		case StateMachineType:
			delete(r.values, name.Value)
			r.machines[name.Value] = &head.Properties.Name
		}
		return nil
	})
}

// machineARN makes the ARN of a state machine from its name.
func (r *resolver) machineARN(id string, line int) (string, error) {
	node := r.machines[id]
	if node.IsZero() {
		return "", fmt.Errorf("line %d: the state machine %s has no Name", line, id)
	}
	name, err := r.name(node, "state machine", line)
	if err != nil {
		return "", err
	}
	return "arn:aws:states:" + r.values["AWS::Region"] + ":" + r.values["AWS::AccountId"] + ":stateMachine:" + name, nil
}

// roleARN makes the ARN of a role from its name, or from its logical id if it has none.
func (r *resolver) roleARN(id string, line int) (string, error) {
	name := id
	if node := r.roles[id]; !node.IsZero() {
		var err error
		if name, err = r.name(node, "role", line); err != nil {
			return "", err
		}
	}
	return "arn:aws:iam::" + r.values["AWS::AccountId"] + ":role/" + name, nil
}

// name resolves the name of a resource, which may not depend on such names.
func (r *resolver) name(node *yaml.Node, kind string, line int) (string, error) {
	if r.naming {
		return "", fmt.Errorf("line %d: the name of a %s depends on a %[2]s", line, kind)
	}
	r.naming = true
	defer func() { r.naming = false }()
	name, err := r.resolve(node)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(name), nil
}

// noValue marks what AWS::NoValue removes.
type noValue struct{}

func (r *resolver) object(node *yaml.Node) (map[string]any, error) {
	if node.IsZero() {
		return map[string]any{}, nil
	}
	v, err := r.resolve(node)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("line %d: expected a mapping", node.Line)
	}
	return object, nil
}

func (r *resolver) resolve(node *yaml.Node) (any, error) {
	if isIntrinsic(node.Tag) {
		return r.intrinsic(node)
	}
	switch node.Kind {
	case yaml.MappingNode:
		return r.mapping(node)
	case yaml.SequenceNode:
		return r.sequence(node)
	case yaml.ScalarNode:
		return scalar(node)
	case yaml.AliasNode:
		return nil, fmt.Errorf("line %d: CloudFormation knows no YAML aliases", node.Line)
	case yaml.DocumentNode:
	}
	return nil, fmt.Errorf("line %d: unexpected kind of YAML node", node.Line)
}

func isIntrinsic(tag string) bool {
	return strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!")
}

func (r *resolver) mapping(node *yaml.Node) (any, error) {
	object := map[string]any{}
	err := eachPair(node, func(name, value *yaml.Node) error {
		if name.Value == "Ref" || strings.HasPrefix(name.Value, "Fn::") {
			return fmt.Errorf("line %d: write %s in its short form", name.Line, name.Value)
		}
		if _, twice := object[name.Value]; twice {
			return fmt.Errorf("line %d: %s is there twice", name.Line, name.Value)
		}
		v, err := r.resolve(value)
		if err != nil {
			return err
		}
		if v != (noValue{}) {
			object[name.Value] = v
		}
		return nil
	})
	return object, err
}

func (r *resolver) sequence(node *yaml.Node) (any, error) {
	list := []any{}
	for _, item := range node.Content {
		v, err := r.resolve(item)
		if err != nil {
			return nil, err
		}
		if v != (noValue{}) {
			list = append(list, v)
		}
	}
	return list, nil
}

func scalar(node *yaml.Node) (any, error) {
	switch node.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		return node.Value == "true", nil
	case "!!int", "!!float":
		if !json.Valid([]byte(node.Value)) {
			return nil, fmt.Errorf("line %d: write the number %s in decimal, or quote it", node.Line, node.Value)
		}
		return json.Number(node.Value), nil
	}
	return node.Value, nil
}

func (r *resolver) intrinsic(node *yaml.Node) (any, error) {
	switch node.Tag {
	case "!Ref":
		if node.Value == "AWS::NoValue" {
			return noValue{}, nil
		}
		return r.ref(node.Value, node.Line)
	case "!GetAtt":
		return r.attribute(node.Value, node.Line)
	case "!Sub":
		return r.substitute(node)
	case "!If":
		return r.choose(node)
	case "!Split":
		return r.split(node)
	case "!Equals", "!Not", "!And", "!Or", "!Condition":
		return r.decide(node)
	}
	return nil, fmt.Errorf("line %d: %s is not known here", node.Line, node.Tag)
}

func (r *resolver) ref(name string, line int) (string, error) {
	if v, ok := r.values[name]; ok {
		return v, nil
	}
	if _, ok := r.machines[name]; ok {
		return r.machineARN(name, line)
	}
	return "", fmt.Errorf("line %d: nothing is named %s", line, name)
}

// attribute makes up an attribute of a resource.
func (r *resolver) attribute(path string, line int) (string, error) {
	id, name, _ := strings.Cut(path, ".")
	kind, ok := r.types[id]
	if !ok {
		return "", fmt.Errorf("line %d: there is no resource %s", line, id)
	}
	scope := r.values["AWS::Region"] + ":" + r.values["AWS::AccountId"] + ":"
	switch kind + " " + name {
	case FunctionType + " Arn":
		return "arn:aws:lambda:" + scope + "function:" + id, nil
	case urlType + " FunctionUrl":
		return "https://" + strings.ToLower(id) + ".lambda-url." + r.values["AWS::Region"] + ".on.aws/", nil
	case StateMachineType + " Arn":
		return r.machineARN(id, line)
	case "AWS::DynamoDB::Table Arn":
		return "arn:aws:dynamodb:" + scope + "table/" + id, nil
	case "AWS::DynamoDB::Table StreamArn":
		return "arn:aws:dynamodb:" + scope + "table/" + id + "/stream/2026-01-01T00:00:00.000", nil
	case "AWS::SQS::Queue Arn":
		return "arn:aws:sqs:" + scope + id, nil
	case "AWS::SQS::Queue QueueName":
		return id, nil
	case roleType + " Arn":
		return r.roleARN(id, line)
	case "AWS::KMS::Key Arn":
		return "arn:aws:kms:" + scope + "key/" + id, nil
	case "AWS::Logs::LogGroup Arn":
		return "arn:aws:logs:" + scope + "log-group:" + id + ":*", nil
	}
	return "", fmt.Errorf("line %d: the attribute %s of a %s is not known here", line, name, kind)
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

func (r *resolver) substitute(node *yaml.Node) (any, error) {
	if node.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("line %d: !Sub with variables of its own is not known here", node.Line)
	}
	var failed error
	text := placeholder.ReplaceAllStringFunc(node.Value, func(match string) string {
		name := match[2 : len(match)-1]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		lookup := r.ref
		if strings.Contains(name, ".") {
			lookup = r.attribute
		}
		v, err := lookup(name, node.Line)
		failed = errors.Join(failed, err)
		return v
	})
	return text, failed
}

func (r *resolver) choose(node *yaml.Node) (any, error) {
	if node.Kind != yaml.SequenceNode || len(node.Content) != 3 {
		return nil, fmt.Errorf("line %d: !If takes a condition and two values", node.Line)
	}
	holds, err := r.condition(node.Content[0].Value, node.Line)
	if err != nil {
		return nil, err
	}
	if holds {
		return r.resolve(node.Content[1])
	}
	return r.resolve(node.Content[2])
}

// split cuts a text at a separator.
func (r *resolver) split(node *yaml.Node) (any, error) {
	if node.Kind != yaml.SequenceNode || len(node.Content) != 2 {
		return nil, fmt.Errorf("line %d: !Split takes a separator and a text", node.Line)
	}
	v, err := r.resolve(node.Content[1])
	if err != nil {
		return nil, err
	}
	text, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("line %d: !Split takes a text", node.Line)
	}
	list := []any{}
	for part := range strings.SplitSeq(text, node.Content[0].Value) {
		list = append(list, part)
	}
	return list, nil
}

// condition decides a named condition.
func (r *resolver) condition(name string, line int) (bool, error) {
	node, ok := r.conditions[name]
	if !ok {
		return false, fmt.Errorf("line %d: there is no condition %s", line, name)
	}
	if len(r.deciding) > len(r.conditions) {
		return false, fmt.Errorf("line %d: the condition %s depends on itself", line, name)
	}
	r.deciding = append(r.deciding, name)
	defer func() { r.deciding = r.deciding[:len(r.deciding)-1] }()
	return r.decide(node)
}

func (r *resolver) decide(node *yaml.Node) (bool, error) {
	switch node.Tag {
	case "!Condition":
		return r.condition(node.Value, node.Line)
	case "!Equals":
		both, err := r.resolve(&yaml.Node{Kind: yaml.SequenceNode, Content: node.Content, Line: node.Line})
		if err != nil {
			return false, err
		}
		pair, ok := both.([]any)
		if !ok || len(pair) != 2 {
			return false, fmt.Errorf("line %d: !Equals takes two values", node.Line)
		}
		return fmt.Sprint(pair[0]) == fmt.Sprint(pair[1]), nil
	case "!Not", "!And", "!Or":
		return r.combine(node)
	}
	return false, fmt.Errorf("line %d: this is no condition", node.Line)
}

func (r *resolver) combine(node *yaml.Node) (bool, error) {
	holding := 0
	for _, part := range node.Content {
		holds, err := r.decide(part)
		if err != nil {
			return false, err
		}
		if holds {
			holding++
		}
	}
	switch {
	case node.Tag == "!Not" && len(node.Content) == 1:
		return holding == 0, nil
	case node.Tag == "!And" && len(node.Content) > 0:
		return holding == len(node.Content), nil
	case node.Tag == "!Or" && len(node.Content) > 0:
		return holding > 0, nil
	}
	return false, errors.New("line " + strconv.Itoa(node.Line) + ": wrong number of conditions for " + node.Tag)
}

// eachPair visits the members of a mapping in the order of the file. A node that is not there has none.
func eachPair(node *yaml.Node, fn func(name, value *yaml.Node) error) error {
	if node.IsZero() {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: expected a mapping", node.Line)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if err := fn(node.Content[i], node.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}
