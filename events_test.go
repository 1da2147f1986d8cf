package latchkey_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/shared/audit/auditapi"
)

// eventTypes are the types that the code names: constants of audit.Type, and conversions to it.
func eventTypes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{} // where, by type
	err := filepath.WalkDir("shared", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/auditapi/") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		isType := func(e ast.Expr) bool {
			if name, ok := e.(*ast.Ident); ok {
				return file.Name.Name == "audit" && name.Name == "Type"
			}
			selected, ok := e.(*ast.SelectorExpr)
			if !ok || selected.Sel.Name != "Type" {
				return false
			}
			pkg, ok := selected.X.(*ast.Ident)
			return ok && pkg.Name == "audit"
		}
		note := func(e ast.Expr) {
			if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				found[strings.Trim(literal.Value, `"`)] = path
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if n.Type != nil && isType(n.Type) {
					for _, value := range n.Values {
						note(value)
					}
				}
			case *ast.CallExpr:
				if isType(n.Fun) && len(n.Args) == 1 {
					note(n.Args[0])
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Clients filter by what the list of event types names.
func TestEvents_areOfTypesThatAreListed(t *testing.T) {
	written := eventTypes(t)
	if len(written) < 50 {
		t.Errorf("this test sees only %d types in the code", len(written))
	}
	for name, path := range written {
		if !slices.ContainsFunc(auditapi.EventTypes(), func(e auditapi.EventType) bool { return string(e.Type) == name }) {
			t.Errorf("%s of %s is not listed", name, path)
		}
	}
}

// Events are kept for as long as the template's parameter says, whichever function writes them.
func TestEvents_areKeptAsLongByEveryFunction(t *testing.T) {
	_, functions, _ := load(t)
	writers := 0
	for _, f := range functions {
		journals := strings.Contains(string(sources(t, "./functions/"+f.Name)), "EventRetention:")
		days, has := f.Environment["EVENT_RETENTION_DAYS"]
		if has && days != "365" {
			t.Errorf("%s keeps events for %s days", f.ID, days)
		}
		if has != journals {
			t.Errorf("%s writes events: %t; it knows how long they are kept: %t", f.ID, journals, has)
		}
		if has {
			writers++
		}
	}
	if writers < 6 {
		t.Errorf("only %d functions write events", writers)
	}
}
