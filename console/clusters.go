package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/shared/atlas"
)

// Where the pages of clusters are. What is not below a cluster's name is not below clustersPath, so that
// a cluster may have any name.
const (
	clustersPath   = groupsPath + "/{groupId}/clusters"
	newClusterPath = groupsPath + "/{groupId}/new-cluster"
	clusterPath    = clustersPath + "/{clusterName}"
	snapshotPath   = clusterPath + "/snapshots/{snapshotId}"
)

// clustersView is the page of a project's clusters.
type clustersView struct {
	GroupID   string
	Rows      []clusterRow
	Disabled  []disabledRow
	Pager     Pager
	Moving    bool
	MayCreate bool
	Missing   *Missing
}

// The parts of pages about clusters that may be missing.
const (
	partClusters = "The list of clusters"
	partProgress = "What goes on in clusters"
	partRights   = "What you may do"
)

// clusterRow is a cluster in the list.
type clusterRow struct {
	Name       string
	Badge      Badge
	Doing      string // what is going on, "" at rest
	Places     []string
	Size       string
	Nodes      int
	Running    string // "2 of 3 run", "" while all do
	Encryption Badge
	Private    Badge // without text where no private endpoint can lead to the key
}

// disabledRow is a cluster whose key is out of use.
type disabledRow struct {
	Name, Provider, Reason, Code, Since string
}

// maxClusters is the longest page of a list that the API shows. A project has fewer clusters.
const maxClusters = "500"

func loadClusters(v *Visit) (any, error) {
	pager := v.Pager()
	pager.Path = v.Page("clusters") // also when the list alone is read again
	var clusters atlas.Page[atlas.Cluster]
	var progress atlas.Page[clusterProgress]
	var rights Rights
	lost := &Missing{}
	err := Together(
		lost.Part(partClusters, func() error { return v.API.Get(v.Context(), v.Group("clusters"), pager.Of(), &clusters) }),
		lost.Part(partProgress, func() error {
			return v.API.Get(v.Context(), v.OwnGroup("clusters"), url.Values{"itemsPerPage": {maxClusters}}, &progress)
		}),
		lost.Part(partRights, into(&rights, v.Rights)),
	)
	if err == nil {
		err = lost.Unless(partClusters, partProgress)
	}
	if err != nil {
		return nil, err
	}
	view := clustersView{GroupID: v.GroupID(), Pager: pager.Counted(clusters.TotalCount), MayCreate: rights.Owns(), Missing: lost, Moving: len(lost.Parts()) > 0}
	standing := map[string]clusterProgress{}
	for _, p := range progress.Results {
		standing[p.ID] = p
		view.Moving = view.Moving || p.isMoving()
		if d := p.Disabled; d != nil {
			view.Disabled = append(view.Disabled, disabledRow{p.Name, ProviderName(d.Provider), ReasonText(d.Reason), d.Reason, d.Since})
		}
	}
	for _, c := range clusters.Results {
		row := rowOf(c, standing[c.ID])
		if lost.Lacks(partProgress) && row.Badge.Tone == Good { // it may be disabled
			row.Badge = Badge{Neutral, "Not known"}
		}
		view.Rows = append(view.Rows, row)
	}
	return view, nil
}

// Lacks reports whether a part is missing.
func (v clustersView) Lacks() lacking {
	return lacking{v.Missing.Lacks(partClusters), v.Missing.Lacks(partRights)}
}

// lacking are the parts whose absence must not be taken for an answer.
type lacking struct{ Clusters, Rights bool }

func rowOf(c atlas.Cluster, p clusterProgress) clusterRow {
	row := clusterRow{
		Name: c.Name, Badge: clusterBadge(c, p), Places: placesOf(c), Size: sizeOf(c), Nodes: nodesOf(c),
		Encryption: keyOfCluster(c, p), Private: privateBadge(c.EncryptionPrivateNetworking),
	}
	if p.Plan != nil || p.Restore != nil {
		tasks := tasksOf(p, nil, clusterMasterKeys{})
		row.Doing = tasks[0].Title
		if tasks[0].Of > 0 {
			row.Doing += fmt.Sprintf(" (%d of %d)", tasks[0].Done, tasks[0].Of)
		}
	}
	if p.Counts.Running < p.Counts.Total && p.Disabled == nil && !c.Paused {
		row.Running = fmt.Sprintf("%d of %d run", p.Counts.Running, p.Counts.Total)
	}
	return row
}

// clusterBadge is the state of a cluster; that it is disabled counts more than what it is about to
// become.
func clusterBadge(c atlas.Cluster, p clusterProgress) Badge {
	if p.Disabled != nil && c.StateName != "DELETING" {
		return Badge{Bad, "Disabled"}
	}
	return ClusterBadge(c.StateName, c.Paused && c.StateName != "DELETING")
}

// keyOfCluster is whose key encrypts a cluster, and that it stops the cluster if it does.
func keyOfCluster(c atlas.Cluster, p clusterProgress) Badge {
	badge := encryptionBadge(c.EncryptionAtRestProvider)
	if p.Disabled != nil && string(p.Disabled.Provider) == c.EncryptionAtRestProvider {
		return Badge{Bad, badge.Text + ", not valid"}
	}
	return badge
}

// encryptionBadge is whose key encrypts a cluster.
func encryptionBadge(provider string) Badge {
	if provider == noProvider || provider == "" {
		return Badge{Neutral, "No key of yours"}
	}
	return Badge{Good, ProviderName(atlas.Provider(provider))}
}

// privateBadge is whether the key is reached through private endpoints alone, in the words of the
// documents.
func privateBadge(networking string) Badge {
	switch networking {
	case "ACTIVE":
		return Badge{Good, "Active"}
	case "INACTIVE":
		return Badge{Neutral, "Inactive"}
	}
	return Badge{}
}

// placesOf are the cloud regions of a cluster, in order.
func placesOf(c atlas.Cluster) []string {
	var places []string
	for _, s := range c.ReplicationSpecs {
		for _, r := range s.RegionConfigs {
			if place := cloudName(r.ProviderName) + " " + r.RegionName; !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
	}
	return places
}

// sizeOf are the instance sizes of a cluster's electable nodes.
func sizeOf(c atlas.Cluster) string {
	var sizes []string
	for _, s := range c.ReplicationSpecs {
		for _, r := range s.RegionConfigs {
			if size := r.ElectableSpecs.InstanceSize; size != "" && !slices.Contains(sizes, size) {
				sizes = append(sizes, size)
			}
		}
	}
	return strings.Join(sizes, ", ")
}

// nodesOf is how many nodes a cluster is to have.
func nodesOf(c atlas.Cluster) (n int) {
	for _, s := range c.ReplicationSpecs {
		for _, r := range s.RegionConfigs {
			n += r.ElectableSpecs.NodeCount + r.ReadOnlySpecs.NodeCount + r.AnalyticsSpecs.NodeCount
		}
	}
	return n
}

// cloudName is what people call a cloud; where nodes run, not where keys are.
func cloudName(p atlas.Provider) string {
	switch p {
	case atlas.Azure:
		return "Azure"
	case atlas.GCP:
		return "Google Cloud"
	case atlas.AWS:
	}
	return string(p)
}

// PageNumber is the page of the list that is shown.
func (v clustersView) PageNumber() string { return strconv.Itoa(v.Pager.Number) }
