package console

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// clusterView is the page of a cluster.
type clusterView struct {
	GroupID    string
	Cluster    atlas.Cluster
	Badge      Badge
	Disabled   *disabledRow
	Tasks      []clusterTask
	Nodes      []nodeRow
	Places     []string
	Size       string
	Encryption Badge
	Private    Badge
	Ways       []wayRow // how the key is reached from each region, where private networking is in force
	Addresses  []string
	Rights     Rights
	Moving     bool
	Ending     bool
	Missing    *Missing
	NoNodes    bool // they cannot be read
	Unread     bool // nobody knows what whoever looks may do
}

// nodeRow is a node of a cluster.
type nodeRow struct {
	Host     string
	Role     string
	Place    string
	Badge    Badge
	Silent   bool
	LastSeen *string
	Problem  string // what it was told and cannot do
	Key      *keyRow
}

// keyRow is which customer key wraps a node's master key.
type keyRow struct {
	Provider, Name, Version, WrappedAt, MadeAt string
}

// wayRow is the private endpoint of a region in which the cluster has nodes.
type wayRow struct {
	Region string
	Badge  Badge
}

// clusterFacts are what is read for the page of a cluster.
type clusterFacts struct {
	Missing

	cluster   atlas.Cluster
	progress  clusterProgress
	reports   []clusterKeys
	master    clusterMasterKeys
	addresses []string
	rights    Rights
}

func loadCluster(v *Visit) (any, error) {
	f, err := v.clusterFacts(v.Param("clusterName"))
	if err != nil {
		return nil, err
	}
	ways, err := v.waysToKey(f.cluster)
	if err != nil {
		return nil, err
	}
	v.Title = f.cluster.Name
	c, p := f.cluster, f.progress
	view := clusterView{
		GroupID: v.GroupID(), Cluster: c, Badge: clusterBadge(c, p), Tasks: tasksOf(p, f.reports, f.master), Places: placesOf(c), Size: sizeOf(c),
		Encryption: keyOfCluster(c, p), Private: privateBadge(c.EncryptionPrivateNetworking), Ways: ways,
		Addresses: f.addresses, Rights: f.rights, Ending: c.StateName == "DELETING",
		Missing: &f.Missing, NoNodes: f.Lacks(partProgress), Unread: f.Lacks(partRights),
	}
	if view.NoNodes && view.Badge.Tone == Good { // it may be disabled
		view.Badge = Badge{Neutral, "Not known"}
	}
	view.Moving = len(f.Parts()) > 0 || p.isMoving() || len(view.Tasks) > 0 && p.Disabled == nil
	if d := p.Disabled; d != nil {
		view.Disabled = &disabledRow{c.Name, ProviderName(d.Provider), ReasonText(d.Reason), d.Reason, d.Since}
	}
	for _, n := range p.Nodes {
		view.Nodes = append(view.Nodes, nodeRowOf(n))
	}
	slices.SortFunc(view.Nodes, func(a, b nodeRow) int { return cmp.Compare(a.Host, b.Host) })
	return view, nil
}

// The parts of the page that may be missing, besides those of the list.
const (
	partChanges    = "How keys are being changed"
	partMasterKeys = "The age of master keys"
	partAddresses  = "The list of IP addresses"
)

// clusterFacts reads everything about a cluster at the same time.
func (v *Visit) clusterFacts(name string) (*clusterFacts, error) {
	f := &clusterFacts{}
	var reports atlas.Page[clusterKeys]
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("clusters", name), nil, &f.cluster) },
		f.Part(partProgress, func() error { return v.API.Get(v.Context(), v.OwnGroup("clusters", name), nil, &f.progress) }),
		f.Part(partChanges, func() error {
			return v.API.Get(v.Context(), v.OwnGroup("encryptionAtRest", "keys"), nil, &reports)
		}),
		f.Part(partMasterKeys, func() error { return v.API.Get(v.Context(), v.OwnGroup("masterKeys"), nil, &f.master) }),
		f.Part(partAddresses, func() (err error) { f.addresses, err = v.addressesOf(name); return err }),
		f.Part(partRights, into(&f.rights, v.Rights)),
	)
	f.reports = reports.Results
	return f, err
}

// addressesOf are the IP addresses that a cluster's nodes call its key's provider from.
func (v *Visit) addressesOf(name string) ([]string, error) {
	var told struct {
		Services struct {
			Clusters []struct {
				Name     string   `json:"clusterName"`
				Outbound []string `json:"outbound"`
			} `json:"clusters"`
		} `json:"services"`
	}
	err := v.API.Get(v.Context(), v.Group("ipAddresses"), nil, &told)
	for _, c := range told.Services.Clusters {
		if c.Name == name {
			return c.Outbound, err
		}
	}
	return nil, err
}

// waysToKey are the private endpoints of the regions in which a cluster has nodes, "None" for one
// without; nil while the key is reached another way.
func (v *Visit) waysToKey(c atlas.Cluster) ([]wayRow, error) {
	if c.EncryptionPrivateNetworking == "" {
		return nil, nil
	}
	var endpoints atlas.Page[struct {
		Region string `json:"regionName"`
		Status string `json:"status"`
	}]
	err := v.API.Get(v.Context(), v.Group("encryptionAtRest", c.EncryptionAtRestProvider, "privateEndpoints"), nil, &endpoints)
	if e, ok := errors.AsType[*client.Error](err); ok && !client.IsUnauthorized(e) {
		return nil, nil // the page does without them
	}
	if err != nil || len(endpoints.Results) == 0 {
		return nil, err
	}
	var ways []wayRow
	for _, s := range c.ReplicationSpecs {
		for _, r := range s.RegionConfigs {
			way := wayRow{r.RegionName, Badge{Bad, "No endpoint"}}
			for _, e := range endpoints.Results {
				if e.Region == r.RegionName {
					way.Badge = endpointStatus(e.Status)
				}
			}
			if !slices.Contains(ways, way) {
				ways = append(ways, way)
			}
		}
	}
	return ways, nil
}

func endpointStatus(status string) Badge {
	switch status {
	case "ACTIVE":
		return Badge{Good, "Active"}
	case "FAILED":
		return Badge{Bad, "Failed"}
	case "PENDING_ACCEPTANCE":
		return Badge{Warning, "Pending acceptance"}
	}
	return Badge{Busy, sentence(status)}
}

// sentence is a code in words: "Pending recreation".
func sentence(code string) string {
	words := strings.ToLower(strings.ReplaceAll(code, "_", " "))
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

func nodeRowOf(n clusterNode) nodeRow {
	row := nodeRow{
		Host: n.Hostname, Role: nodeRole(n.Type), Place: cloudName(n.Cloud) + " " + n.Region, Badge: nodeBadge(n.State), Silent: n.Silent && n.LastSeen != nil, LastSeen: n.LastSeen,
	}
	if row.Host == "" {
		row.Host = n.ID
	}
	if n.Task != nil && n.Task.Failed {
		row.Problem = fmt.Sprintf("It cannot do what it was told (%s): %s.", n.Task.Command, ReasonText(text(n.Task.Reason)))
	}
	if k := n.Key; k != nil {
		row.Key = &keyRow{ProviderName(k.Provider), k.Name, versionOf(k.Name, k.Version), k.WrappedAt, k.MadeAt}
	}
	return row
}

func nodeRole(typeName string) string {
	switch {
	case strings.HasSuffix(typeName, "_PRIMARY"):
		return "Primary"
	case strings.HasSuffix(typeName, "_SECONDARY"):
		return "Secondary"
	}
	return "Serves no data"
}

var nodeBadges = map[string]Badge{
	"WAITING_FOR_AGENT": {Busy, "Waits for its agent"},
	"RUNNING":           {Good, "Running"},
	"STOPPED":           {Neutral, "Stopped"},
	"STARTING":          {Busy, "Starting"},
	"STOPPING":          {Busy, "Stopping"},
	"SYNCING":           {Busy, "Rebuilding its data"},
	"RESTORING":         {Busy, "Restoring"},
	"LEAVING":           {Busy, "Leaving"},
}

func nodeBadge(state string) Badge {
	if b, ok := nodeBadges[state]; ok {
		return b
	}
	return Badge{Neutral, sentence(state)}
}
