package clusterapi

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/project/projectapi"
)

// processView is one database process (CONTRACT 6.5).
type processView struct {
	Created        string       `json:"created"`
	GroupID        string       `json:"groupId"`
	Hostname       string       `json:"hostname"`
	ID             string       `json:"id"`
	LastPing       *string      `json:"lastPing"`
	Links          []atlas.Link `json:"links"`
	Port           int          `json:"port"`
	ReplicaSetName string       `json:"replicaSetName"`
	ShardName      string       `json:"shardName,omitempty"`
	TypeName       string       `json:"typeName"`
	UserAlias      string       `json:"userAlias"`
	Version        string       `json:"version"`
}

func viewProcess(r *httpapi.Request, d cluster.Deployment, n cluster.Node) processView {
	release := d.Spec.Release
	if d.Applied != nil {
		release = d.Applied.Release
	}
	id := n.Host + ":" + strconv.Itoa(n.Port)
	view := processView{
		Created: atlas.Time(n.Created), GroupID: n.GroupID, Hostname: n.Host, ID: id,
		Links: r.Self("/groups/" + n.GroupID + "/processes/" + id), Port: n.Port, ReplicaSetName: d.ReplicaSetName(n.Shard),
		TypeName: d.ProcessType(n), UserAlias: n.Alias, Version: release.Full,
	}
	if d.Spec.Type != cluster.ReplicaSet {
		view.ShardName = view.ReplicaSetName
	}
	if seen := n.Reported.LastSeen; !seen.IsZero() {
		view.LastPing = optional(atlas.Time(seen))
	}
	return view
}

func (a API) processes(ctx context.Context, r *httpapi.Request) ([]processView, error) {
	deployments, err := a.Clusters.All(ctx, r.GroupID())
	if err != nil {
		return nil, err
	}
	var views []processView
	for _, d := range deployments {
		for _, n := range d.Nodes {
			views = append(views, viewProcess(r, d, n))
		}
	}
	slices.SortFunc(views, func(a, b processView) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return views, nil
}

func (a API) listProcesses(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	views, err := a.processes(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.List(r, views)
}

func (a API) getProcess(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	views, err := a.processes(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	id := r.Param("processId")
	i := slices.IndexFunc(views, func(v processView) bool { return v.ID == id || v.UserAlias+":"+strconv.Itoa(v.Port) == id })
	if i < 0 {
		return httpapi.Response{}, atlas.Fail(atlas.ResourceNotFound, r.Path)
	}
	return httpapi.OK(views[i]), nil
}

// Addresses implements projectapi.ClusterAddresses.
type Addresses struct{ Clusters *cluster.Service }

// ClusterAddresses lists the IP addresses that the nodes of a group's clusters said they have, as
// customers put them on access lists: without ports, and without names. Nodes call and are called
// at the same ones.
func (a Addresses) ClusterAddresses(ctx context.Context, groupID string) ([]projectapi.ClusterIPs, error) {
	deployments, err := a.Clusters.All(ctx, groupID)
	if err != nil {
		return nil, err
	}
	list := make([]projectapi.ClusterIPs, 0, len(deployments))
	for _, d := range deployments {
		addresses := []string{}
		for _, n := range d.Nodes {
			for _, reported := range n.Reported.Addresses {
				if ip, ok := ipOf(reported); ok {
					addresses = append(addresses, ip)
				}
			}
		}
		slices.Sort(addresses)
		addresses = slices.Compact(addresses)
		list = append(list, projectapi.ClusterIPs{
			ClusterName: d.Name, FutureInbound: []string{}, FutureOutbound: []string{}, Inbound: addresses, Outbound: addresses,
		})
	}
	return list, nil
}

// ipOf is the IP address of an address that an agent reported, with a port or without. A name has
// none, nor has what means any address, or one that is valid on a single link.
func ipOf(address string) (ip string, ok bool) {
	addr, err := netip.ParseAddr(address)
	if withPort, portErr := netip.ParseAddrPort(address); portErr == nil {
		addr, err = withPort.Addr(), nil
	}
	if err != nil || addr.IsUnspecified() || addr.Zone() != "" {
		return "", false
	}
	return addr.Unmap().String(), true
}
