//go:build unix

package execengine

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
)

// arguments are a command line with placeholders.
type arguments []*template.Template

// placeholders are what templates can use.
type placeholders struct{ KeyFile string }

func parseArguments(args []string) (arguments, error) {
	var parsed arguments
	for _, arg := range args {
		t, err := template.New("argument").Option("missingkey=error").Parse(arg)
		if err != nil {
			return nil, fmt.Errorf("execengine: argument %q: %w", arg, err)
		}
		parsed = append(parsed, t)
	}
	if len(parsed) > 0 {
		_, err := parsed.render("/key")
		return parsed, err
	}
	return parsed, nil
}

// render fills in the placeholders. What renders to nothing is left out, unless it was nothing
// to begin with.
func (a arguments) render(keyFile string) ([]string, error) {
	var args []string
	for _, t := range a {
		var b strings.Builder
		if err := t.Execute(&b, placeholders{KeyFile: keyFile}); err != nil {
			return nil, fmt.Errorf("execengine: %w", err)
		}
		if b.Len() > 0 || t.Root == nil || len(t.Root.Nodes) == 0 {
			args = append(args, b.String())
		}
	}
	if len(args) == 0 || args[0] == "" {
		return nil, errors.New("execengine: the command is empty")
	}
	return args, nil
}
