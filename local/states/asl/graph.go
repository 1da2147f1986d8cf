package asl

import (
	"maps"
	"slices"
)

// Successors are the states that may follow, in the order of the definition.
func (s *State) Successors() []string {
	var names []string
	for _, rule := range s.Choices {
		names = append(names, rule.Next)
	}
	for _, catcher := range s.Catch {
		names = append(names, catcher.Next)
	}
	for _, name := range []string{s.Default, s.Next} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// ends reports whether a flow can end in the state.
func (s *State) ends() bool { return s.Type != Choice && s.Next == "" }

// checkGraph refuses what leads nowhere, what nothing leads to, and what never ends.
func (p *parser) checkGraph(flow *Flow) {
	if _, ok := flow.States[flow.StartAt]; !ok {
		p.fail("StartAt names %q, which is no state beside it", flow.StartAt)
		return
	}
	outer := p.state
	defer func() { p.state = outer }()
	reached, dangling := map[string]bool{flow.StartAt: true}, false
	for queue := []string{flow.StartAt}; len(queue) > 0; queue = queue[1:] {
		p.state = queue[0]
		for _, next := range flow.States[queue[0]].Successors() {
			if _, ok := flow.States[next]; !ok {
				p.fail("it leads to %q, which is no state beside it", next)
				dangling = true
			} else if !reached[next] {
				reached[next] = true
				queue = append(queue, next)
			}
		}
	}
	ending := endingStates(flow)
	for _, name := range slices.Sorted(maps.Keys(flow.States)) {
		p.state = name
		switch {
		case !reached[name]:
			p.fail("nothing leads to it")
		case !ending[name] && !dangling:
			p.fail("it never leads to an end")
		}
	}
}

// endingStates are the states from which an end can be reached.
func endingStates(flow *Flow) map[string]bool {
	ending := map[string]bool{}
	for grown := true; grown; {
		grown = false
		for name, s := range flow.States {
			if ending[name] {
				continue
			}
			leads := slices.ContainsFunc(s.Successors(), func(next string) bool { return ending[next] })
			if s.ends() || leads {
				ending[name], grown = true, true
			}
		}
	}
	return ending
}
