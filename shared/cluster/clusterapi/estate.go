package clusterapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

type providerView struct {
	InstanceSizes []sizeView     `json:"instanceSizes"`
	Provider      atlas.Provider `json:"provider"`
}

type sizeView struct {
	AvailableRegions []regionView `json:"availableRegions"`
	Name             string       `json:"name"`
}

type regionView struct {
	Default bool   `json:"default"`
	Name    string `json:"name"`
}

// listRegions lists what clusters may be made of, of all clouds and sizes or of those that the
// query names.
func (a API) listRegions(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if _, err := a.Projects.Open(ctx, r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	asked := strings.FieldsFunc(strings.Join(r.Query["providers"], ","), func(c rune) bool { return c == ',' })
	tier := r.Query.Get("tier")
	views := []providerView{}
	for _, p := range atlas.Providers() {
		if len(asked) > 0 && !slices.Contains(asked, string(p)) {
			continue
		}
		var regions []regionView
		for _, name := range atlas.ClusterRegions(p) {
			regions = append(regions, regionView{Default: name == atlas.DefaultClusterRegion(p), Name: name})
		}
		view := providerView{InstanceSizes: []sizeView{}, Provider: p}
		for _, size := range cluster.InstanceSizes(p) {
			if tier == "" || tier == size {
				view.InstanceSizes = append(view.InstanceSizes, sizeView{AvailableRegions: regions, Name: size})
			}
		}
		views = append(views, view)
	}
	return httpapi.List(r, views)
}

// containerView is the network that a group's nodes of one region share, as the API calls it:
// a network peering container. Google's spans all regions.
type containerView struct {
	ID           string         `json:"id"`
	ProviderName atlas.Provider `json:"providerName"`
	Provisioned  bool           `json:"provisioned"`
	RegionName   string         `json:"regionName,omitempty"` // AWS
	Region       string         `json:"region,omitempty"`     // Azure
	Regions      []string       `json:"regions,omitempty"`    // Google
}

// containers lists the containers of a group. They follow from where its clusters are: the
// Terraform provider demands one for each region of a cluster.
func (a API) containers(ctx context.Context, groupID string) ([]containerView, error) {
	deployments, err := a.Clusters.All(ctx, groupID)
	if err != nil {
		return nil, err
	}
	found := map[string]containerView{}
	for _, d := range deployments {
		for _, shard := range d.Spec.Shards {
			for _, region := range shard.Regions {
				addContainer(found, groupID, region)
			}
		}
	}
	list := make([]containerView, 0, len(found))
	for _, c := range found {
		slices.Sort(c.Regions)
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b containerView) int {
		return strings.Compare(string(a.ProviderName)+a.RegionName+a.Region, string(b.ProviderName)+b.RegionName+b.Region)
	})
	return list, nil
}

func addContainer(found map[string]containerView, groupID string, region cluster.Region) {
	c := containerView{ProviderName: region.Provider, Provisioned: true}
	place := string(region.Provider)
	switch region.Provider {
	case atlas.AWS:
		c.RegionName, place = region.Name, place+"#"+region.Name
	case atlas.Azure:
		c.Region, place = region.Name, place+"#"+region.Name
	case atlas.GCP:
		c.Regions = found[place].Regions
		if !slices.Contains(c.Regions, region.Name) {
			c.Regions = append(c.Regions, region.Name)
		}
	}
	c.ID = containerID(groupID, place)
	found[place] = c
}

// containerID is the same for a place as long as the group is there.
func containerID(groupID, place string) string {
	const bytes = 12
	sum := sha256.Sum256([]byte(groupID + "#" + place))
	return hex.EncodeToString(sum[:bytes])
}

// listContainers lists the containers at one cloud, AWS unless the query names another.
func (a API) listContainers(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	provider := atlas.AWS
	if name := r.Query.Get("providerName"); name != "" {
		var err error
		if provider, err = atlas.ParseProvider(name); err != nil {
			return httpapi.Response{}, err
		}
	}
	all, err := a.containers(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.List(r, slices.DeleteFunc(all, func(c containerView) bool { return c.ProviderName != provider }))
}

func (a API) listAllContainers(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	all, err := a.containers(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.List(r, all)
}

func (a API) getContainer(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	all, err := a.containers(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	id := r.Param("containerId")
	i := slices.IndexFunc(all, func(c containerView) bool { return c.ID == id })
	if i < 0 {
		return httpapi.Response{}, atlas.Fail(atlas.ResourceNotFound, r.Path)
	}
	return httpapi.OK(all[i]), nil
}
