package console

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// Where activity feeds are.
const (
	activityPath    = groupsPath + "/{groupId}/activity"
	orgActivityPath = root + "/orgs/{orgId}/activity"
)

// activityView is a feed, the newest events first.
type activityView struct {
	GroupID  string // "" for an organisation's
	Path     string
	Areas    []areaView
	Chosen   int // how many types are chosen
	Cluster  *Field
	From, To Field
	Who      Field
	Filtered bool
	Rows     []eventRow
	Newer    string
	Older    string
	Looked   int // how many events were looked at for somebody's, if there may be more
}

// areaView is an area with its types, to choose from.
type areaView struct {
	ID, Name string
	Checked  bool
	Types    []typeView
}

type typeView struct {
	Type, Name string
	Checked    bool
}

// loadActivity reads a project's feed, and loadOrgActivity an organisation's.
func loadActivity(v *Visit) (any, error) {
	var clusters []keyUser
	view, err := v.activity(v.Page("activity"), v.Group("events"), into(&clusters, v.keyUsers))
	if err != nil {
		return nil, err
	}
	view.Cluster = clusterFilter(clusters, v.Query("cluster"))
	return view, nil
}

func loadOrgActivity(v *Visit) (any, error) {
	id := v.Param("orgId")
	var org Organisation
	view, err := v.activity(client.Path(root+"/orgs", id, "activity"), client.Path(orgsAPI, id, "events"), func() error {
		return v.API.Get(v.Context(), client.Path(orgsAPI, id), nil, &org)
	})
	v.Title = "Activity of " + org.Name
	return view, err
}

// clusterFilter offers the clusters that there are, and the one that is asked for.
func clusterFilter(clusters []keyUser, asked string) *Field {
	f := Field{Name: "cluster", Label: "Cluster", Value: asked, Options: []Option{{Text: "Any or none"}}}
	known := asked == ""
	for _, c := range clusters {
		f.Options = append(f.Options, Option{Value: c.Name, Text: c.Name})
		known = known || c.Name == asked
	}
	if !known {
		f.Options = append(f.Options, Option{Value: asked, Text: asked})
	}
	return &f
}

// activity reads a feed, for the page at a path, as the address filters it. more is read at the same time.
func (v *Visit) activity(page, feed string, more func() error) (activityView, error) {
	types, err := v.eventTypes()
	if err != nil {
		return activityView{}, err
	}
	view := activityView{GroupID: v.GroupID(), Path: page}
	asked := v.r.URL.Query()
	chosen := view.choose(types, asked)
	query := url.Values{"includeRaw": {"true"}, "includeCount": {"false"}, "eventType": chosen}
	for name, parameter := range map[string]string{"cluster": "clusterNames", "from": "minDate", "to": "maxDate"} {
		if value := asked.Get(name); value != "" {
			query.Set(parameter, value)
		}
	}
	who := asked.Get("who")
	const unfiltered = 3 // parameters
	view.Filtered = len(chosen) > 0 || len(query) > unfiltered || who != ""
	var found eventPage
	err = Together(into(&found, func() (eventPage, error) { return v.events(feed, query, who) }), more)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusBadRequest {
		v.Failure = failedWith(beside(err, map[string]string{"minDate": "from", "maxDate": "to", "clusterNames": "cluster"}))
		err = nil
	}
	view.From = v.Field(Field{Name: "from", Label: "From (UTC)", Type: "datetime-local", Value: asked.Get("from")})
	view.To = v.Field(Field{Name: "to", Label: "To (UTC)", Type: "datetime-local", Value: asked.Get("to")})
	view.Who = Field{Name: "who", Label: "By whom", Value: who, Hint: "A public key or a client ID. “Latchkey” is the service itself."}
	for _, e := range found.events {
		view.Rows = append(view.Rows, v.eventRow(e, types))
	}
	view.Looked = found.looked
	view.links(asked, found)
	return view, err
}

// choose marks the areas and types that are asked for, and lists the types.
func (view *activityView) choose(types eventTypes, asked url.Values) []string {
	var chosen []string
	for _, a := range eventAreas() {
		area := areaView{ID: a.ID, Name: a.Name, Checked: slices.Contains(asked["area"], a.ID)}
		for _, t := range types {
			if areaOf(t.Type) != a.ID {
				continue
			}
			is := slices.Contains(asked["type"], t.Type)
			area.Types = append(area.Types, typeView{t.Type, t.Description, is})
			if is || area.Checked {
				chosen = append(chosen, t.Type)
			}
		}
		if len(area.Types) > 0 {
			view.Areas = append(view.Areas, area)
		}
	}
	view.Chosen = len(chosen)
	return chosen
}

// eventPage is a page of a feed.
type eventPage struct {
	events []eventWire
	number int
	older  bool
	looked int
}

// What is looked through for somebody's events, which the API does not filter by.
const (
	mostLooked   = 2000
	largestPage  = 500
	serviceActor = "Latchkey"
)

// events reads a page of a feed, newest first. It is not counted: that would read the whole feed.
func (v *Visit) events(path string, query url.Values, who string) (eventPage, error) {
	p := eventPage{number: v.Pager().Number}
	if who != "" {
		return v.eventsOf(path, query, who, p)
	}
	query.Set("pageNum", strconv.Itoa(p.number))
	query.Set("itemsPerPage", strconv.Itoa(PageSize))
	events, older, err := v.eventsAt(path, query)
	p.events, p.older = events, older
	return p, err
}

func (v *Visit) eventsAt(path string, query url.Values) ([]eventWire, bool, error) {
	var page atlas.Page[eventWire]
	err := v.API.Get(v.Context(), path, query, &page)
	older := slices.ContainsFunc(page.Links, func(l atlas.Link) bool { return l.Rel == "next" })
	return page.Results, older, err
}

// eventsOf looks through the newest events for those of somebody.
func (v *Visit) eventsOf(path string, query url.Values, who string, p eventPage) (eventPage, error) {
	query.Set("itemsPerPage", strconv.Itoa(largestPage))
	skip, looked := (p.number-1)*PageSize, 0
	for number := 1; looked < mostLooked; number++ {
		query.Set("pageNum", strconv.Itoa(number))
		events, more, err := v.eventsAt(path, query)
		if err != nil {
			return p, err
		}
		for _, e := range events {
			switch {
			case e.actor() != who:
			case skip > 0:
				skip--
			case len(p.events) == PageSize:
				p.older = true
				return p, nil
			default:
				p.events = append(p.events, e)
			}
		}
		looked += len(events)
		if !more {
			return p, nil
		}
	}
	p.looked = looked
	return p, nil
}

// links lead to newer and older events under the same filter.
func (view *activityView) links(asked url.Values, p eventPage) {
	to := func(number int) string {
		next := url.Values{}
		maps.Copy(next, asked)
		next.Set("page", strconv.Itoa(number))
		return view.Path + "?" + next.Encode()
	}
	if p.number > 1 {
		view.Newer = to(p.number - 1)
	}
	if p.older {
		view.Older = to(p.number + 1)
	}
}

// actor is who caused an event.
func (e eventWire) actor() string {
	switch {
	case e.PublicKey != "":
		return e.PublicKey
	case e.Username != "":
		return e.Username
	}
	return serviceActor
}

// isInstant reports whether a text is a time, for details.
func isInstant(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}
