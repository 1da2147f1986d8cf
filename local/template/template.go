// Package template reads the deployment template of the suite (AWS SAM) and resolves it, so
// that what runs on one machine and what the tests check is what is deployed.
//
// Its invariant: what it cannot resolve is an error that names the line, never a guess.
package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Options say where the template is deployed to, in place of an account.
type Options struct {
	// Parameters override the defaults of the template's parameters.
	Parameters map[string]string
	// StackName, Region and AccountID are what AWS::StackName, AWS::Region and
	// AWS::AccountId are. Empty: latchkey, us-east-1 and 123456789012.
	StackName, Region, AccountID string
}

// Template is a resolved template. Values are what encoding/json would decode them to, except
// that numbers are json.Number.
type Template struct {
	// Parameters are in the order of the file.
	Parameters []Parameter
	// Resources are in the order of the file. Those whose condition is false are left out.
	Resources []Resource
	// Outputs by name.
	Outputs map[string]string

	globals map[string]any
}

// Parameter is an input of the template.
type Parameter struct {
	Name           string
	Type           string
	Default        *string
	Description    string
	AllowedPattern string
	AllowedValues  []string
	MinValue       *json.Number
	MaxValue       *json.Number

	// Value is the override, or else the default.
	Value string `json:"-"`
	// Line is where the parameter stands in the file.
	Line int `json:"-"`
}

// Resource is one resource of the template.
type Resource struct {
	ID                  string `json:"-"`
	Type                string
	Condition           string
	DeletionPolicy      string
	UpdateReplacePolicy string
	Properties          map[string]any
	Metadata            map[string]any

	// Line is where the resource stands in the file.
	Line int `json:"-"`
}

// Decode reads the resource's properties into v, a pointer to a struct with their names.
// Properties that v has no field for are ignored.
func (r Resource) Decode(v any) error {
	if err := convert(r.Properties, v); err != nil {
		return fmt.Errorf("template: %s: %w", r.ID, err)
	}
	return nil
}

// Load reads and resolves the template in a file.
func Load(path string, opts Options) (*Template, error) {
	data, err := os.ReadFile(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return Parse(data, opts)
}

// Parse resolves a template.
func Parse(data []byte, opts Options) (*Template, error) {
	var file struct {
		Parameters yaml.Node `yaml:"Parameters"`
		Conditions yaml.Node `yaml:"Conditions"`
		Globals    yaml.Node `yaml:"Globals"`
		Resources  yaml.Node `yaml:"Resources"`
		Outputs    yaml.Node `yaml:"Outputs"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	r := &resolver{values: pseudoParameters(opts), conditions: map[string]*yaml.Node{}}
	t := &Template{Outputs: map[string]string{}}
	steps := []error{
		t.readParameters(&file.Parameters, opts.Parameters, r),
		eachPair(&file.Conditions, func(name, value *yaml.Node) error {
			r.conditions[name.Value] = value
			return nil
		}),
		r.declare(&file.Resources),
	}
	if err := errors.Join(steps...); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if err := t.resolve(r, &file.Globals, &file.Resources, &file.Outputs); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return t, nil
}

// Resource returns the resource with a logical id.
func (t *Template) Resource(id string) (Resource, bool) {
	i := slices.IndexFunc(t.Resources, func(r Resource) bool { return r.ID == id })
	if i < 0 {
		return Resource{}, false
	}
	return t.Resources[i], true
}

// OfType returns the resources of a type in the order of the file.
func (t *Template) OfType(kind string) []Resource {
	var of []Resource
	for _, r := range t.Resources {
		if r.Type == kind {
			of = append(of, r)
		}
	}
	return of
}

func (t *Template) readParameters(node *yaml.Node, overrides map[string]string, r *resolver) error {
	known := map[string]bool{}
	err := eachPair(node, func(name, value *yaml.Node) error {
		p := Parameter{Name: name.Value, Line: name.Line}
		plain, err := r.resolve(value)
		if err != nil {
			return err
		}
		if err := convert(stringsOf(plain), &p); err != nil {
			return fmt.Errorf("line %d: parameter %s: %w", p.Line, p.Name, err)
		}
		if p.Default != nil {
			p.Value = *p.Default
		}
		if v, ok := overrides[p.Name]; ok {
			p.Value = v
		} else if p.Default == nil {
			return fmt.Errorf("parameter %s has no default and no value", p.Name)
		}
		if err := p.check(); err != nil {
			return err
		}
		known[p.Name] = true
		r.values[p.Name] = p.Value
		t.Parameters = append(t.Parameters, p)
		return nil
	})
	for name := range overrides {
		if !known[name] && err == nil {
			err = fmt.Errorf("the template has no parameter %s", name)
		}
	}
	return err
}

// check holds the value against the parameter's constraints.
func (p Parameter) check() error {
	if p.AllowedPattern != "" {
		pattern, err := regexp.Compile(`\A(?:` + p.AllowedPattern + `)\z`)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if !pattern.MatchString(p.Value) {
			return fmt.Errorf("parameter %s: %q does not match %s", p.Name, p.Value, p.AllowedPattern)
		}
	}
	if len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, p.Value) {
		return fmt.Errorf("parameter %s: %q is not one of %s", p.Name, p.Value, strings.Join(p.AllowedValues, ", "))
	}
	if p.Type != "Number" {
		return nil
	}
	v, err := json.Number(p.Value).Float64()
	if err != nil {
		return fmt.Errorf("parameter %s: %q is no number", p.Name, p.Value)
	}
	if below(p.MinValue, func(least float64) bool { return v < least }) || below(p.MaxValue, func(most float64) bool { return v > most }) {
		return fmt.Errorf("parameter %s: %s is out of bounds", p.Name, p.Value)
	}
	return nil
}

func below(bound *json.Number, violates func(float64) bool) bool {
	if bound == nil {
		return false
	}
	v, err := bound.Float64()
	return err != nil || violates(v)
}

func (t *Template) resolve(r *resolver, globals, resources, outputs *yaml.Node) error {
	resolved, err := r.object(globals)
	if err != nil {
		return err
	}
	t.globals = resolved
	err = eachPair(resources, func(name, value *yaml.Node) error {
		plain, err := r.object(value)
		if err != nil {
			return err
		}
		res := Resource{ID: name.Value, Line: name.Line}
		if err := convert(plain, &res); err != nil {
			return fmt.Errorf("line %d: resource %s: %w", res.Line, res.ID, err)
		}
		if res.Type == "" {
			return fmt.Errorf("line %d: resource %s has no Type", res.Line, res.ID)
		}
		if res.Condition != "" {
			if holds, err := r.condition(res.Condition, name.Line); err != nil || !holds {
				return err
			}
		}
		t.Resources = append(t.Resources, res)
		return nil
	})
	if err != nil {
		return err
	}
	return eachPair(outputs, func(name, value *yaml.Node) error {
		out, err := r.object(value)
		if err != nil {
			return err
		}
		text, ok := out["Value"].(string)
		if !ok {
			return fmt.Errorf("line %d: output %s has no text as its value", name.Line, name.Value)
		}
		t.Outputs[name.Value] = text
		return nil
	})
}

// convert moves plain values into a typed one by way of JSON.
func convert(plain, typed any) error {
	data, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	return dec.Decode(typed)
}

// stringsOf makes Default and AllowedValues text, whatever YAML took them for: CloudFormation
// does the same.
func stringsOf(plain any) any {
	object, ok := plain.(map[string]any)
	if !ok {
		return plain
	}
	if d, ok := object["Default"]; ok {
		object["Default"] = fmt.Sprint(d)
	}
	if values, ok := object["AllowedValues"].([]any); ok {
		for i, v := range values {
			values[i] = fmt.Sprint(v)
		}
	}
	return object
}
