package console

import (
	"errors"
	"net/http"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// frame is what is around every page: who is signed in, and where in the organisation one is.
type frame struct {
	Title   string
	SignIn  bool // a page for whoever is not signed in yet
	Name    string
	Kind    string
	Org     string
	Project string
	GroupID string
	Nav     []navItem
	Said    said
	Shown   string   // tag of the part that is read again, "" for none
	Failure *Failure // of the form on the page
	err     error
}

// beginFrame reads the names that the header shows while the page reads what it shows.
func (v *Visit) beginFrame() <-chan frame {
	done := make(chan frame, 1)
	f := frame{Title: v.page.Title, Name: v.session.Name, Kind: string(v.session.Kind), GroupID: v.GroupID()}
	if f.GroupID == "" {
		done <- f
		return done
	}
	go func() {
		var orgs atlas.Page[Organisation]
		var project Project
		var nameless bool // the page does without the names
		f.err = Together(
			Optional(&nameless, func() error { return v.API.Get(v.Context(), v.Group(), nil, &project) }),
			func() error {
				err := v.API.Get(v.Context(), orgsAPI, nil, &orgs)
				if e, ok := errors.AsType[*client.Error](err); ok && e.Status != http.StatusUnauthorized {
					return nil
				}
				return err
			},
		)
		f.Project = project.Name
		for _, o := range orgs.Results {
			if o.ID == project.OrgID {
				f.Org = o.Name
			}
		}
		done <- f
	}()
	return done
}

// complete adds what is known once the page was loaded.
func (v *Visit) complete(f frame) frame {
	f.Nav = v.console.navItems(v, v.page.Nav)
	f.Said, f.Failure = v.said(), v.Failure
	if v.Title != "" {
		f.Title = v.Title
	}
	return f
}

// Together runs functions at the same time and returns the first error, in their order. Pages read
// what they show with it.
func Together(all ...func() error) error {
	failed := make([]chan error, len(all))
	for i, f := range all {
		failed[i] = make(chan error, 1)
		go func() { failed[i] <- guarded(f) }()
	}
	var first error
	for _, f := range failed {
		if err := <-f; first == nil {
			first = err
		}
	}
	return first
}

// Optional is f for a part that a page can do without: away tells that the API is too slow, too busy or
// broken just now. What it refuses, it refuses for a reason that the page has to say.
func Optional(away *bool, f func() error) func() error {
	return func() error {
		err := guarded(f)
		e, ok := errors.AsType[*client.Error](err)
		if *away = ok && (e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests); *away {
			return nil
		}
		return err
	}
}

// guarded has a panic of f fail the page, not the program.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f()
}
