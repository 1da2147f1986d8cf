// Package programs measures the programs that are deployed, each in a process of its own as Lambda runs it,
// against a function that does nothing.
//
// Its invariant: what is measured is the program as it is built for deployment, with the environment and the
// permissions of the template, and never a part of it in this process; but for the authorizer, of which see there.
package programs

import (
	"context"
	"slices"
	"time"

	"latchkey"
	"latchkey/bench/ratio"
	"latchkey/local/runtimeapi"
	"latchkey/local/template"
)

// Section is all that is measured of programs.
func Section() ratio.Section {
	s := &shared{}
	var entries []ratio.Entry
	for _, name := range functions() {
		entries = append(entries, s.coldStart(name), s.coldStartWall(name))
	}
	const digestFloor, bearerFloor = "the nonce's HMAC and three MD5 sums made", "one signature checked"
	entries = append(entries, s.warm(),
		authorize("digest", digestFloor, byDigest), bare("digest", digestFloor, byDigest),
		authorize("bearer", bearerFloor, byBearer), bare("bearer", bearerFloor, byBearer),
		s.ready(), s.readyCPU())
	for _, name := range functions() {
		entries = append(entries, size(name), initAllocations(name))
	}
	return ratio.Section{Title: "Programs", Entries: entries}
}

// functions are the names of all functions of the template.
func functions() []string {
	tmpl, err := template.Parse(latchkey.Template(), template.Options{})
	if err != nil {
		panic(err) // the template's own tests find it first
	}
	specs, err := tmpl.Functions()
	if err != nil {
		panic(err)
	}
	var names []string
	for _, spec := range specs {
		names = append(names, spec.Name)
	}
	slices.Sort(names)
	return names
}

// shared is what entries have in common, opened by the first that needs it.
type shared struct{ opened *estate }

func (s *shared) estate(ctx context.Context, lab *ratio.Lab) (*estate, error) {
	if s.opened == nil {
		var err error
		if s.opened, err = openEstate(ctx, lab); err != nil {
			return nil, err
		}
	}
	return s.opened, nil
}

// tenants are the functions that reach tenants' keys, and so hold the SDKs of three clouds.
var tenants = []string{"encryption", "keytasks", "nodes", "validate"}

// The budgets. docs/performance.md says which are not met yet, and what stands between.
const (
	ownTable   = 1.8 // the start of a function that reaches the suite's own account alone
	anyCloud   = 3   // the start of one that holds SDKs of tenants' clouds
	warmGet    = 3   // a request
	authorized = 5   // a request that is let in
)

func startBudget(name string) ratio.Budget {
	if slices.Contains(tenants, name) || name == "networktasks" {
		return ratio.AtMost(anyCloud)
	}
	return ratio.AtMost(ownTable)
}

// coldStart measures the CPU time from exec to the first call of the Runtime API's "next".
func (s *shared) coldStart(name string) ratio.Contest {
	return ratio.Contest{
		Name: "start/" + name, Unit: ratio.CPU, Budget: startBudget(name), Floor: "a function that does nothing",
		Measures: "CPU time of the process from its start until it asks for its first event",
		Open:     s.starts(name, func(_ time.Duration, cpu time.Duration) time.Duration { return cpu }),
	}
}

// coldStartWall measures the same by the clock on the wall.
func (s *shared) coldStartWall(name string) ratio.Contest {
	return ratio.Contest{
		Name: "start/" + name + "/wall", Unit: ratio.Wall, Floor: "a function that does nothing",
		Measures: "time from the process's start until it asks for its first event",
		Open:     s.starts(name, func(wall time.Duration, _ time.Duration) time.Duration { return wall }),
	}
}

type opening = func(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error)

func (s *shared) starts(name string, which func(wall, cpu time.Duration) time.Duration) opening {
	return func(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error) {
		e, err := s.estate(ctx, lab)
		if err != nil {
			return nil, nil, err
		}
		program, err := e.function(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		nothing, err := hello(ctx, lab, nil, e.log)
		return startsOf(program, which), startsOf(nothing, which), err
	}
}

// startsOf is a turn that starts a program once.
func startsOf(program runtimeapi.Config, which func(wall, cpu time.Duration) time.Duration) ratio.Turn {
	return func(ctx context.Context) (float64, error) {
		f := runtimeapi.New(program)
		defer f.Close() //nolint:errcheck // it never fails
		begin := time.Now()
		if err := f.Warm(ctx); err != nil {
			return 0, err
		}
		wall := time.Since(begin)
		cpu, err := spent(f)
		return which(wall, cpu).Seconds(), err
	}
}
