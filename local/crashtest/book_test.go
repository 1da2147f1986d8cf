package crashtest_test

import (
	"fmt"
	"maps"
	"slices"
)

// outcome is what a writer was told of a write.
type outcome int

const (
	done    outcome = iota + 1
	refused         // it has not happened
	unknown         // it may have happened
)

// book is what one writer was told of the things that it alone writes, by their names. The value "" is
// a thing that is not there.
type book struct {
	kind   string
	things map[string]*thing
	// transient things are not touched again once one was in doubt: looking at it does not settle it.
	transient bool

	acknowledged, refused, unknown int
}

// thing has the value that was acknowledged last, or one that was written since by a write of unknown outcome.
type thing struct {
	told  string
	maybe []string
	fresh bool // written since it was looked at last
}

func newBook(kind string) *book { return &book{kind: kind, things: map[string]*thing{}} }

// settled lists the things whose value is known and not "", sorted.
func (b *book) settled() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(b.things)) {
		if th := b.things[name]; th.told != "" && len(th.maybe) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// write notes a write. It must be noted before a thing is written again; one in doubt is not written again until
// it was looked at.
func (b *book) write(name, value string, do func() outcome) outcome {
	th := b.things[name]
	if th == nil {
		th = &thing{}
		b.things[name] = th
	}
	if len(th.maybe) > 0 {
		return refused
	}
	th.maybe, th.fresh = []string{value}, true
	result := do()
	switch result {
	case done:
		b.acknowledged++
		th.told, th.maybe = value, nil
	case refused:
		b.refused++
		th.maybe = nil
	case unknown:
		b.unknown++
	}
	return result
}

// compare holds what is there against what was told. Doubts are over then.
func (b *book) compare(actual map[string]string) (wrong []string) {
	for name, th := range b.things {
		got := actual[name]
		if got != th.told && !slices.Contains(th.maybe, got) {
			wrong = append(wrong, fmt.Sprintf("%s %s is %q; %q was acknowledged, %q may be", b.kind, name, got, th.told, th.maybe))
		}
		if b.transient && len(th.maybe) > 0 {
			delete(b.things, name)
			continue
		}
		th.told, th.maybe, th.fresh = got, nil, false
	}
	for name, got := range actual {
		if b.things[name] == nil && !b.transient {
			wrong = append(wrong, fmt.Sprintf("%s %s is %q, which nobody wrote", b.kind, name, got))
		}
	}
	return wrong
}
