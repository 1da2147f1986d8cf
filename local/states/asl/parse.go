package asl

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"
)

// maxSource bounds a definition; Step Functions' own limit.
const maxSource = 1 << 20

// maxName bounds the name of a state; the language's own limit.
const maxName = 80

// Parse reads a definition, in which nothing is left to substitute. file names it in errors. It
// reports everything that is wrong at once.
func Parse(file string, data []byte) (*Machine, error) {
	p := &parser{file: file, names: map[string]bool{}}
	if len(data) > maxSource || !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: a definition is UTF-8 text of at most %d bytes", file, maxSource)
	}
	if names := Substitutions(data); len(names) > 0 {
		return nil, fmt.Errorf("%s: ${%s} has not been substituted", file, names[0])
	}
	v, err := unmarshalOnce(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m := p.machine(v)
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	m.Source = string(data)
	return m, nil
}

type parser struct {
	file     string
	state    string // being read
	names    map[string]bool
	inMap    int // how many Map states the one being read stands in
	problems []error
}

func (p *parser) fail(format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	if p.state == "" {
		p.problems = append(p.problems, fmt.Errorf("%s: %s", p.file, problem))
		return
	}
	p.problems = append(p.problems, fmt.Errorf("%s: state %q: %s", p.file, p.state, problem))
}

func (p *parser) machine(v any) *Machine {
	f := p.open("the definition", v)
	m := &Machine{Comment: f.optionalText("Comment")}
	m.Timeout = time.Duration(f.integer("TimeoutSeconds", 0, 1, maxSeconds)) * time.Second
	f.oneOf("Version", "1.0")
	f.oneOf("QueryLanguage", "JSONPath")
	m.Flow = *p.flow(f)
	f.close()
	return m
}

// flow reads StartAt and States, and checks the graph.
func (p *parser) flow(f *fields) *Flow {
	flow := &Flow{StartAt: f.requiredText("StartAt"), States: map[string]*State{}}
	states, _ := f.take("States")
	object, ok := states.(map[string]any)
	if !ok || len(object) == 0 {
		p.fail("%s has no States", f.what)
		return flow
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		flow.States[name] = p.readState(name, object[name])
	}
	p.checkGraph(flow)
	return flow
}

func (p *parser) readState(name string, v any) *State {
	outer := p.state
	p.state = name
	defer func() { p.state = outer }()
	if name == "" || utf8.RuneCountInString(name) > maxName {
		p.fail("a state's name has from 1 to %d characters", maxName)
	}
	if p.names[name] {
		p.fail("there are two states of this name")
	}
	p.names[name] = true
	f := p.open("the state", v)
	s := &State{Name: name, Type: Type(f.requiredText("Type")), Comment: f.optionalText("Comment")}
	f.oneOf("QueryLanguage", "JSONPath")
	read, ok := map[Type]func(*fields, *State){
		Task: p.task, Choice: p.choice, Wait: p.wait, Pass: p.pass,
		Map: p.mapState, Parallel: p.parallel, Succeed: p.succeed, Fail: p.failState,
	}[s.Type]
	if !ok {
		p.fail("there is no type of state %q", s.Type)
		return s
	}
	f.what = fmt.Sprintf("a %s state", s.Type)
	read(f, s)
	p.checkContext(f.paths, false, 0)
	f.close()
	return s
}

func (p *parser) io(f *fields, s *State) {
	s.InputPath, s.OutputPath = f.filter("InputPath"), f.filter("OutputPath")
}

func (p *parser) next(f *fields, s *State) {
	s.Next = f.optionalText("Next")
	if f.boolean("End") == (s.Next != "") {
		p.fail("a state has either a Next or an End that is true")
	}
}

func (p *parser) work(f *fields, s *State) {
	p.io(f, s)
	p.next(f, s)
	s.ResultPath, s.ResultSelector = f.target("ResultPath"), f.template("ResultSelector")
	s.Retry, s.Catch = p.retriers(f), p.catchers(f)
}

func (p *parser) choice(f *fields, s *State) {
	p.io(f, s)
	s.Default = f.optionalText("Default")
	list := f.list("Choices")
	if list == nil {
		p.fail("a Choice state has no Choices")
	}
	for _, v := range list {
		rule, paths := p.rule(v, true)
		s.Choices = append(s.Choices, rule)
		f.paths = append(f.paths, paths...)
	}
}

func (p *parser) wait(f *fields, s *State) {
	p.io(f, s)
	p.next(f, s)
	given := 0
	for _, name := range []string{"Seconds", "SecondsPath", "Timestamp", "TimestampPath"} {
		if f.has(name) {
			given++
		}
	}
	if given != 1 {
		p.fail("a Wait state has exactly one of Seconds, SecondsPath, Timestamp and TimestampPath")
	}
	if f.has("Seconds") {
		n := f.integer("Seconds", 0, 0, maxSeconds)
		s.Until.Seconds = &n
	}
	if f.has("Timestamp") {
		var err error
		if s.Until.Timestamp, err = ParseTimestamp(f.optionalText("Timestamp")); err != nil {
			p.fail("%v", err)
		}
	}
	s.Until.SecondsPath = f.path("SecondsPath", ParseReference)
	s.Until.TimestampPath = f.path("TimestampPath", ParseReference)
}

func (p *parser) pass(f *fields, s *State) {
	p.io(f, s)
	p.next(f, s)
	s.ResultPath, s.Parameters = f.target("ResultPath"), f.template("Parameters")
	if v, ok := f.take("Result"); ok {
		s.Result = &v
	}
}

func (p *parser) succeed(f *fields, s *State) { p.io(f, s) }

func (p *parser) failState(f *fields, s *State) {
	s.Error, s.Cause = f.textOrPath("Error"), f.textOrPath("Cause")
}

func (p *parser) parallel(f *fields, s *State) {
	p.work(f, s)
	s.Parameters = f.template("Parameters")
	list := f.list("Branches")
	if list == nil {
		p.fail("a Parallel state has no Branches")
	}
	for _, v := range list {
		branch := p.open("a branch", v)
		branch.optionalText("Comment")
		s.Branches = append(s.Branches, p.flow(branch))
		branch.close()
	}
}

func (p *parser) mapState(f *fields, s *State) {
	p.work(f, s)
	s.ItemsPath = f.path("ItemsPath", ParseReference)
	s.MaxConcurrency = int(f.integer("MaxConcurrency", 0, 0, maxSeconds))
	if f.has("ItemSelector") && f.has("Parameters") {
		p.fail("a Map state has either ItemSelector or, as it was called before, Parameters")
	}
	selector := &fields{p: p, values: f.values}
	s.Parameters = selector.template("ItemSelector")
	if s.Parameters == nil {
		s.Parameters = selector.template("Parameters")
	}
	p.checkContext(selector.paths, false, 1)
	processor, isNew := f.take("ItemProcessor")
	iterator, isOld := f.take("Iterator")
	if isNew == isOld {
		p.fail("a Map state has either ItemProcessor or, as it was called before, Iterator")
		return
	}
	if isOld {
		processor = iterator
	}
	p.inMap++
	defer func() { p.inMap-- }()
	inner := p.open("the processor", processor)
	inner.optionalText("Comment")
	if config, ok := inner.take("ProcessorConfig"); ok && isNew {
		c := p.open("ProcessorConfig", config)
		c.oneOf("Mode", "INLINE")
		c.close()
	}
	s.Processor = p.flow(inner)
	inner.close()
}

var (
	invokeResource = regexp.MustCompile(`^arn:aws[a-z-]*:states:::lambda:invoke(\.waitForTaskToken)?$`)
	lambdaARN      = regexp.MustCompile(`^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:([A-Za-z0-9_-]{1,64})(:[A-Za-z0-9_$-]+)?$`)
)

func (p *parser) task(f *fields, s *State) {
	p.work(f, s)
	p.resource(s, f.requiredText("Resource"))
	parameters, given := f.values["Parameters"]
	inner := &fields{p: p, values: f.values}
	s.Parameters = inner.template("Parameters")
	p.checkContext(inner.paths, s.Resource.WaitForToken, 0)
	if s.Resource.Function == "" {
		p.invokeParameters(parameters, given)
	}
	if s.Resource.WaitForToken && !slices.ContainsFunc(inner.paths, (*Path).bringsToken) {
		p.fail("Parameters do not pass $$.Task.Token on, so nobody could end the task")
	}
	s.Timeout = f.seconds("TimeoutSeconds")
	if !s.Resource.WaitForToken && (f.has("HeartbeatSeconds") || f.has("HeartbeatSecondsPath")) {
		p.fail("only a task that waits for a token can be expected to send heartbeats")
	}
	s.Heartbeat = f.seconds("HeartbeatSeconds")
	if s.Timeout.Fixed > 0 && s.Heartbeat.Fixed >= s.Timeout.Fixed {
		p.fail("HeartbeatSeconds is not less than TimeoutSeconds")
	}
}

func (p *parser) resource(s *State, name string) {
	s.Resource.Name = name
	if m := invokeResource.FindStringSubmatch(name); m != nil {
		s.Resource.WaitForToken = m[1] != ""
		return
	}
	m := lambdaARN.FindStringSubmatch(name)
	if m == nil {
		p.fail("the resource %q is not supported: only arn:aws:states:::lambda:invoke, with or without .waitForTaskToken, "+
			"and ARNs of Lambda functions are", name)
		return
	}
	s.Resource.Function = m[1]
}

// invokeParameters checks the arguments of lambda:invoke, which are those of the Lambda API.
func (p *parser) invokeParameters(v any, given bool) {
	if !given {
		p.fail("lambda:invoke has no Parameters")
		return
	}
	f := p.open("Parameters", v)
	name, isFixed := f.take("FunctionName")
	_, isComputed := f.take("FunctionName.$")
	if s, _ := name.(string); isFixed && s == "" || isFixed == isComputed {
		p.fail("Parameters have no FunctionName")
	}
	f.take("Payload")
	f.take("Payload.$")
	f.oneOf("InvocationType", "RequestResponse")
	f.close()
}

// contextObject is what the context object holds; a nil map is a value of any shape.
var contextObject = map[string]map[string]bool{
	"Execution":    {"Id": true, "Input": true, "Name": true, "RedriveCount": true, "RedriveTime": true, "RoleArn": true, "StartTime": true},
	"State":        {"EnteredTime": true, "Name": true, "RetryCount": true},
	"StateMachine": {"Id": true, "Name": true},
	"Task":         {"Token": true},
	"Map":          {"Item": true},
}

// bringsToken reports whether the path's value holds the task token.
func (p *Path) bringsToken() bool {
	return p.inContext && p.many == nil &&
		(len(p.steps) == 0 || p.steps[0] == "Task" && (len(p.steps) == 1 || p.steps[1] == "Token"))
}

// checkContext refuses paths into parts of the context object that are not there.
func (p *parser) checkContext(paths []*Path, token bool, inMap int) {
	for _, path := range paths {
		if !path.inContext || len(path.steps) == 0 {
			continue
		}
		part, _ := path.steps[0].(string)
		members, ok := contextObject[part]
		if len(path.steps) > 1 {
			member, _ := path.steps[1].(string)
			ok = ok && members[member]
		}
		switch {
		case !ok:
			p.fail("%q is not in the context object", path)
		case part == "Task" && !token:
			p.fail("%q is known only in the Parameters of a task that waits for a token", path)
		case part == "Map" && p.inMap+inMap == 0:
			p.fail("%q is known only in a Map state", path)
		}
	}
}
