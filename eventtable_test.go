package latchkey_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/shared/audit/auditapi"
)

// eventRow is a row of the table of event types in docs/events.md.
type eventRow struct{ alert, producer, test string }

var (
	writtenRow = regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)` \\| (yes)? ?\\| `([^`]+)` \\| `([^`]+)` \\|$")
	silentRow  = regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)` \\| ([^|`]{20}.*) \\|$")
)

func TestEventTable_hasEveryType(t *testing.T) {
	text, err := os.ReadFile("docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	written, silent, found := strings.Cut(string(text), "## Listed and never written")
	_, written, isTable := strings.Cut(written, "## Types")
	if !found || !isTable {
		t.Fatal("docs/events.md has lost a heading")
	}
	rows := map[string]eventRow{}
	for _, m := range writtenRow.FindAllStringSubmatch(written, -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s is in the table twice", m[1])
		}
		rows[m[1]] = eventRow{alert: m[2], producer: m[3], test: m[4]}
	}
	never := map[string]bool{}
	for _, m := range silentRow.FindAllStringSubmatch(silent, -1) {
		never[m[1]] = true
	}
	code := declarations{}
	for _, e := range auditapi.EventTypes() {
		name := string(e.Type)
		row, isWritten := rows[name]
		delete(rows, name)
		switch {
		case isWritten == never[name]:
			t.Errorf("%s must be in one of the tables of docs/events.md", name)
		case !isWritten:
			continue
		case e.Alertable != (row.alert != ""):
			t.Errorf("%s can raise alerts: %t", name, e.Alertable)
		}
		if !code.has(t, row.producer, false) {
			t.Errorf("%s: there is no %s", name, row.producer)
		}
		if !code.has(t, row.test, true) {
			t.Errorf("%s: there is no test %s", name, row.test)
		}
	}
	for name := range rows {
		t.Errorf("%s is in the table and not listed", name)
	}
}

// declarations are the functions of folders: "Func" or "Type.Method".
type declarations map[string]map[string]bool

// has reports whether "folder.Func" or "folder.Type.Method" is declared, in a test or outside.
func (d declarations) has(t *testing.T, name string, isTest bool) bool {
	t.Helper()
	slash := strings.LastIndexByte(name, '/')
	pkg, function, ok := strings.Cut(name[slash+1:], ".")
	if !ok || isTest != strings.HasPrefix(function, "Test") {
		return false
	}
	folder := name[:slash+1] + pkg
	if d[folder] == nil {
		d[folder] = functionsOf(t, folder)
	}
	return d[folder][function]
}

func functionsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			switch {
			case !ok:
			case f.Recv == nil:
				names[f.Name.Name] = true
			default:
				names[receiver(f)+"."+f.Name.Name] = true
			}
		}
	}
	return names
}

func receiver(f *ast.FuncDecl) string {
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}
