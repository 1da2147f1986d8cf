package console

import "latchkey/shared/atlas"

// The operations that the frame and these pages read.
const (
	orgsAPI   = "/api/atlas/v2/orgs"
	groupsAPI = "/api/atlas/v2/groups"
)

// Organisation is one as the API shows it.
type Organisation struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Project is a group as the API shows it.
type Project struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	OrgID        string `json:"orgId"`
	Created      string `json:"created"`
	ClusterCount int    `json:"clusterCount"`
}

// projectsView is the page to choose a project.
type projectsView struct {
	Org      *Organisation // nil: all that one may read
	Projects []Project
	Pager    Pager
}

func loadProjects(v *Visit) (any, error) {
	pager := v.Pager()
	path := groupsAPI
	var orgs atlas.Page[Organisation]
	var projects atlas.Page[Project]
	org := v.Query("org")
	if isID(org) {
		path = orgsAPI + "/" + org + "/groups"
	}
	err := Together(
		func() error { return v.API.Get(v.Context(), path, pager.Of(), &projects) },
		func() error { return v.API.Get(v.Context(), orgsAPI, nil, &orgs) },
	)
	view := projectsView{Projects: projects.Results, Pager: pager.Counted(projects.TotalCount)}
	for _, o := range orgs.Results {
		if o.ID == org {
			view.Org = &o
		}
	}
	return view, err
}

// orgsView is the page to choose an organisation.
type orgsView struct {
	Orgs  []Organisation
	Pager Pager
}

func loadOrgs(v *Visit) (any, error) {
	pager := v.Pager()
	var orgs atlas.Page[Organisation]
	err := v.API.Get(v.Context(), orgsAPI, pager.Of(), &orgs)
	return orgsView{orgs.Results, pager.Counted(orgs.TotalCount)}, err
}
