package latchkey_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/template"
	"latchkey/shared/atlas"
	"latchkey/shared/enforcement"
	"latchkey/shared/kms"
	"latchkey/shared/node"
	"latchkey/shared/suite/remind"
	"latchkey/shared/verdict"
)

// metric is a metric that the code counts.
type metric struct {
	Dimensions []string
	Unit       string
}

// counted finds what the code counts: the names and dimensions of every call of obs.Write.
func counted(t *testing.T) map[string]metric {
	t.Helper()
	found := map[string]metric{}
	for _, root := range []string{"shared", "functions"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && isSelector(call.Fun, "obs", "Write") {
					maps.Copy(found, written(t, path, call))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 30 {
		t.Fatalf("only %d metrics were found", len(found))
	}
	return found
}

func isSelector(n ast.Expr, pkg, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && s.Sel.Name == name
}

// written is what one call of obs.Write counts. The dimensions are literals, the counts the rest.
func written(t *testing.T, path string, call *ast.CallExpr) map[string]metric {
	t.Helper()
	const dimensions, counts = 4, 5 // places of the arguments
	found := map[string]metric{}
	var names []string
	if list, ok := call.Args[dimensions].(*ast.CompositeLit); ok {
		for _, e := range list.Elts {
			names = append(names, members(e)["Name"])
		}
	}
	for _, arg := range call.Args[counts:] {
		m := members(arg)
		if m["Name"] == "" {
			t.Errorf("%s counts something whose name this test does not see", path)
			continue
		}
		unit := m["Unit"]
		if unit == "" {
			unit = "Count"
		}
		found[m["Name"]] = metric{Dimensions: names, Unit: unit}
	}
	return found
}

// members are the members of a literal that are a string or a constant, by name.
func members(e ast.Expr) map[string]string {
	found := map[string]string{}
	literal, ok := e.(*ast.CompositeLit)
	if !ok {
		return found
	}
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, ok := pair.Key.(*ast.Ident)
		if !ok {
			continue
		}
		switch value := pair.Value.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(value.Value); err == nil {
				found[key.Name] = text
			}
		case *ast.SelectorExpr:
			found[key.Name] = value.Sel.Name
		}
	}
	return found
}

// occurring are the values of the dimensions that are known here.
func occurring() map[string][]string {
	values := map[string][]string{
		"Class": valuesOf([]verdict.Class{
			verdict.Valid, verdict.Invalid, verdict.Unreachable, verdict.Throttled, verdict.Inconclusive,
		}),
		"Provider":  valuesOf(atlas.Providers()),
		"Operation": valuesOf(kms.Operations()),
		"Outcome":   valuesOf(node.Outcomes()),
		"Direction": valuesOf([]enforcement.Direction{enforcement.Start, enforcement.Stop}),
		"Job":       {remind.Alerts, remind.Maintenance},
	}
	return values
}

func valuesOf[T ~string](values []T) []string {
	var all []string
	for _, v := range values {
		all = append(all, string(v))
	}
	return all
}

var searched = regexp.MustCompile(`^SEARCH\('\{Latchkey,([A-Za-z,]+)\} MetricName="([A-Za-z]+)"', '(Sum|Maximum)', \d+\)$`)

// widget is what the tests read of a dashboard's widget.
type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title, Region, Stat string
		Metrics             [][]any
	}
}

// shown is a metric on the dashboard: namespace, name and dimensions as "name=value", or the name
// alone for all values.
type shown struct {
	Namespace, Name string
	Dimensions      []string
}

func dashboard(t *testing.T) (*template.Template, []widget) {
	t.Helper()
	tmpl, _, _ := load(t)
	r, ok := tmpl.Resource("Dashboard")
	if !ok {
		t.Fatal("there is no dashboard")
	}
	var p struct{ DashboardBody string }
	if err := r.Decode(&p); err != nil {
		t.Fatal(err)
	}
	var body struct{ Widgets []widget }
	if err := json.Unmarshal([]byte(p.DashboardBody), &body); err != nil {
		t.Fatalf("the body is no JSON: %v", err)
	}
	if strings.Contains(p.DashboardBody, "${") {
		t.Error("the body holds a reference that leads nowhere")
	}
	return tmpl, body.Widgets
}

// show reads one row of a widget's metrics.
func show(t *testing.T, row []any) shown {
	t.Helper()
	if options, ok := row[0].(map[string]any); ok {
		expression, _ := options["expression"].(string)
		match := searched.FindStringSubmatch(expression)
		if match == nil {
			t.Errorf("the expression %q is not understood", expression)
			return shown{}
		}
		return shown{Namespace: "Latchkey", Name: match[2], Dimensions: strings.Split(match[1], ",")}
	}
	var words []string
	for _, word := range row {
		if text, ok := word.(string); ok {
			words = append(words, text)
		}
	}
	s := shown{Namespace: words[0], Name: words[1]}
	for i := 2; i+1 < len(words); i += 2 {
		s.Dimensions = append(s.Dimensions, words[i]+"="+words[i+1])
	}
	return s
}

func TestDashboard_showsWhatIsCountedAndNothingElse(t *testing.T) {
	_, widgets := dashboard(t)
	counts, values := counted(t), occurring()
	seen := map[string]map[string]bool{} // metric, and the values of its dimension
	for _, w := range widgets {
		for _, row := range w.Properties.Metrics {
			s := show(t, row)
			if s.Namespace != "Latchkey" {
				continue
			}
			var names []string
			if seen[s.Name] == nil {
				seen[s.Name] = map[string]bool{}
			}
			for _, dimension := range s.Dimensions {
				name, value, fixed := strings.Cut(dimension, "=")
				names = append(names, name)
				if fixed && !slices.Contains(values[name], value) {
					t.Errorf("%q: %s never has the %s %s", w.Properties.Title, s.Name, name, value)
				}
				if fixed {
					seen[s.Name][value] = true
				}
			}
			m, ok := counts[s.Name]
			if !ok {
				t.Errorf("%q shows %s, which nothing counts", w.Properties.Title, s.Name)
			} else if diff := cmp.Diff(m.Dimensions, names); diff != "" {
				t.Errorf("%s is counted (-) and shown (+) by:\n%s", s.Name, diff)
			}
		}
	}
	for name, m := range counts {
		if seen[name] == nil {
			t.Errorf("%s is counted and not on the dashboard", name)
		}
		for _, value := range values[strings.Join(m.Dimensions, ",")] {
			if len(seen[name]) > 0 && !seen[name][value] {
				t.Errorf("%s of %s is not on the dashboard", name, value)
			}
		}
	}
}

func TestDashboard_showsEveryFunctionAndStateMachine(t *testing.T) {
	tmpl, widgets := dashboard(t)
	seen := map[string]bool{}
	for _, w := range widgets {
		for _, row := range w.Properties.Metrics {
			s := show(t, row)
			seen[s.Namespace+" "+s.Name+" "+strings.Join(s.Dimensions, " ")] = true
		}
	}
	functions, err := tmpl.Functions()
	if err != nil {
		t.Fatal(err)
	}
	machines, err := tmpl.StateMachines()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		for _, name := range []string{"Errors", "Throttles", "Duration"} {
			if !seen["AWS/Lambda "+name+" FunctionName="+f.ID] {
				t.Errorf("%s of %s is not on the dashboard", name, f.ID)
			}
		}
	}
	for _, m := range machines {
		for _, name := range []string{"ExecutionsStarted", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionTime"} {
			if !seen["AWS/States "+name+" StateMachineArn="+machineARN(m)] {
				t.Errorf("%s of %s is not on the dashboard", name, m.ID)
			}
		}
	}
}

// CloudWatch puts up with widgets that overlap, and with none of them can anything be read.
func TestDashboard_isLaidOut(t *testing.T) {
	_, widgets := dashboard(t)
	taken := map[[2]int]string{}
	for _, w := range widgets {
		if w.Type != "metric" || w.Properties.Title == "" || w.Properties.Region == "" || w.X+w.Width > 24 || w.Width*w.Height == 0 {
			t.Errorf("%q is no whole widget within 24 columns", w.Properties.Title)
		}
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%q lies over %q", w.Properties.Title, other)
				}
				taken[[2]int{x, y}] = w.Properties.Title
			}
		}
	}
}
