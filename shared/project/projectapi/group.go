package projectapi

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/project"
)

// groupView is a group on the wire (CONTRACT 7.1).
type groupView struct {
	ClusterCount              int           `json:"clusterCount"`
	Created                   string        `json:"created"`
	ID                        string        `json:"id"`
	Links                     []atlas.Link  `json:"links"`
	Name                      string        `json:"name"`
	OrgID                     string        `json:"orgId"`
	RegionUsageRestrictions   string        `json:"regionUsageRestrictions,omitempty"`
	Tags                      []project.Tag `json:"tags,omitempty"`
	WithDefaultAlertsSettings bool          `json:"withDefaultAlertsSettings"`
}

func viewGroup(r *httpapi.Request, g project.Group) groupView {
	path := "/groups/" + g.ID
	return groupView{
		ClusterCount: g.Uses[project.Clusters], Created: atlas.Time(g.Created), ID: g.ID,
		Links: links(r, path, "containers", "clusters", "databaseUsers", "peers", "processes", "whitelist"),
		Name:  g.Name, OrgID: g.OrgID, RegionUsageRestrictions: g.RegionUsageRestrictions, Tags: g.Tags,
		WithDefaultAlertsSettings: g.WithDefaultAlerts,
	}
}

// links is the self link with one to each sub-resource. The relation of a sub-resource is a
// URL of the service, as the real one's are.
func links(r *httpapi.Request, path string, subresources ...string) []atlas.Link {
	all := r.Self(path)
	for _, name := range subresources {
		all = append(all, atlas.Link{Href: r.Link(path + "/" + name), Rel: r.Base + "/" + name})
	}
	return all
}

func viewGroups(r *httpapi.Request, groups []project.Group) []groupView {
	views := make([]groupView, len(groups))
	for i, g := range groups {
		views[i] = viewGroup(r, g)
	}
	return views
}

func (a API) listGroups(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	visible, err := a.Projects.Visible(ctx, r.Caller)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.List(r, viewGroups(r, visible))
}

// groupBody is what clients send. Terraform sends read-only members with it; they are ignored.
type groupBody struct {
	Name                      *string        `json:"name"`
	OrgID                     *string        `json:"orgId"`
	Tags                      *[]project.Tag `json:"tags"`
	WithDefaultAlertsSettings *bool          `json:"withDefaultAlertsSettings"`
	RegionUsageRestrictions   *string        `json:"regionUsageRestrictions"`
}

func (a API) createGroup(ctx context.Context, r *httpapi.Request, b groupBody) (httpapi.Response, error) {
	if b.Name == nil {
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "name")
	}
	if b.OrgID == nil {
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "orgId")
	}
	d := project.Draft{
		OrgID: *b.OrgID, Name: *b.Name, WithDefaultAlerts: true, OwnerID: r.Query.Get("projectOwnerId"),
	}
	if b.Tags != nil {
		d.Tags = *b.Tags
	}
	if b.WithDefaultAlertsSettings != nil {
		d.WithDefaultAlerts = *b.WithDefaultAlertsSettings
	}
	if b.RegionUsageRestrictions != nil {
		d.RegionUsageRestrictions = *b.RegionUsageRestrictions
	}
	g, err := a.Projects.Create(ctx, r.Caller, d)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.Created(viewGroup(r, g), r.Link("/groups/"+g.ID)), nil
}

func (a API) getGroup(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return showGroup(r)(a.Projects.Open(ctx, r.GroupID()))
}

func (a API) getGroupByName(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return showGroup(r)(a.Projects.FindByName(ctx, r.Caller, r.Param("groupName")))
}

func (a API) updateGroup(ctx context.Context, r *httpapi.Request, b groupBody) (httpapi.Response, error) {
	change := project.Change{Name: b.Name, Tags: b.Tags, WithDefaultAlerts: b.WithDefaultAlertsSettings}
	return showGroup(r)(a.Projects.Update(ctx, r.Caller, r.GroupID(), change))
}

func showGroup(r *httpapi.Request) func(project.Group, error) (httpapi.Response, error) {
	return func(g project.Group, err error) (httpapi.Response, error) {
		if err != nil {
			return httpapi.Response{}, err
		}
		return httpapi.OK(viewGroup(r, g)), nil
	}
}

func (a API) deleteGroup(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if err := a.Projects.Close(ctx, r.Caller, r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.NoContent(), nil
}
