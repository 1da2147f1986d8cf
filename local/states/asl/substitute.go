package asl

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// substitution is a placeholder as CloudFormation's DefinitionSubstitutions fill it in.
var substitution = regexp.MustCompile(`\$\{([A-Za-z][A-Za-z0-9]*)\}`)

// Substitutions are the names of the placeholders in a definition, each once, in order.
func Substitutions(definition []byte) []string {
	var names []string
	for _, m := range substitution.FindAllSubmatch(definition, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Substitute fills in the placeholders ${Name} of a definition, inside JSON strings. A name that
// values do not have is an error.
func Substitute(definition []byte, values map[string]string) ([]byte, error) {
	for _, name := range Substitutions(definition) {
		if _, ok := values[name]; !ok {
			return nil, fmt.Errorf("there is no value for ${%s}", name)
		}
	}
	return substitution.ReplaceAllFunc(definition, func(match []byte) []byte {
		quoted, err := json.Marshal(values[string(substitution.FindSubmatch(match)[1])])
		if err != nil {
			panic(err) // strings always marshal
		}
		return quoted[1 : len(quoted)-1]
	}), nil
}
