package console

import (
	"time"

	"latchkey/shared/atlas"
)

// What /api/latchkey/v1 tells of clusters.

// clusterProgress is how a cluster stands. Nodes is empty in lists.
type clusterProgress struct {
	ID       string           `json:"id"`
	Name     string           `json:"name"`
	State    string           `json:"stateName"`
	Paused   bool             `json:"paused"`
	Disabled *clusterDisabled `json:"disabled"`
	Plan     *clusterPlan     `json:"plan"`
	Restore  *clusterRestore  `json:"restore"`
	Counts   struct {
		Total   int `json:"total"`
		Running int `json:"running"`
		Silent  int `json:"silent"`
	} `json:"nodeCounts"`
	Nodes []clusterNode `json:"nodes"`
}

// clusterDisabled is why all nodes of a cluster are stopped.
type clusterDisabled struct {
	Provider atlas.Provider `json:"cloudProvider"`
	Reason   string         `json:"reason"`
	Since    string         `json:"since"`
}

// clusterPlan is the work on a cluster's nodes that is in progress.
type clusterPlan struct {
	Kind       string          `json:"kind"`
	From       *atlas.Provider `json:"fromProvider"`
	To         atlas.Provider  `json:"toProvider"`
	Nodes      int             `json:"nodes"`
	Done       int             `json:"nodesDone"`
	Syncing    []string        `json:"syncingNodeIds"`
	WaitsFor   *string         `json:"waitsFor"`
	WaitsSince *string         `json:"waitsSince"`
	Reason     *string         `json:"reason"`
	Awaited    []string        `json:"awaitedNodeIds"`
	Queued     bool            `json:"changeQueued"`
}

// clusterRestore is the restore to a cluster that is in progress.
type clusterRestore struct {
	ID       string   `json:"id"`
	Snapshot string   `json:"snapshotId"`
	From     string   `json:"fromClusterName"`
	Phase    string   `json:"phase"`
	Nodes    int      `json:"nodes"`
	Done     int      `json:"nodesDone"`
	Awaited  []string `json:"awaitedNodeIds"`
}

// clusterNode is how a node stands.
type clusterNode struct {
	ID       string         `json:"id"`
	Hostname string         `json:"hostname"`
	Type     string         `json:"typeName"`
	Cloud    atlas.Provider `json:"cloudProvider"`
	Region   string         `json:"regionName"`
	State    string         `json:"state"`
	Silent   bool           `json:"silent"`
	LastSeen *string        `json:"lastSeenAt"`
	Task     *struct {
		Command string  `json:"command"`
		Failed  bool    `json:"failed"`
		Reason  *string `json:"reason"`
	} `json:"task"`
	Key *struct {
		MadeAt    string         `json:"madeAt"`
		WrappedAt string         `json:"wrappedAt"`
		Provider  atlas.Provider `json:"cloudProvider"`
		Name      string         `json:"key"`
		Version   string         `json:"version"`
	} `json:"masterKey"`
}

// clusterKeys is what the keys of one provider are, were, and are changed to.
type clusterKeys struct {
	Provider atlas.Provider `json:"cloudProvider"`
	InUse    *struct {
		Key     string `json:"key"`
		Version string `json:"version"`
		UUID    string `json:"masterKeyUUID"` // what snapshots name the key by
		Status  struct {
			Valid  bool   `json:"valid"`
			Reason string `json:"reason"`
		} `json:"status"`
		Private struct {
			InForce bool `json:"inForce"`
		} `json:"privateNetworking"`
	} `json:"keyInUse"`
	Change *clusterKeyChange `json:"lastChange"`
	Former []struct {
		Key       string   `json:"key"`
		Version   string   `json:"version"`
		Nodes     []string `json:"nodeIds"`
		Snapshots []string `json:"snapshotIds"`
	} `json:"formerKeys"`
}

// clusterKeyChange is the last change of a provider's key.
type clusterKeyChange struct {
	Kind         string  `json:"kind"`
	State        string  `json:"state"`
	Left         int     `json:"nodesLeft"`
	BlockedSince *string `json:"blockedSince"`
	Reason       *string `json:"reason"`
	Remaining    *struct {
		Nodes   int `json:"nodes"`
		Awaited []struct {
			Cluster string `json:"clusterName"`
			Node    string `json:"nodeId"`
		} `json:"awaitedNodes"`
	} `json:"remaining"`
}

// clusterMasterKeys is how old master keys are, and how their rotation stands.
type clusterMasterKeys struct {
	Rotation struct {
		State string `json:"state"`
	} `json:"rotation"`
	Keys []struct {
		Cluster string `json:"clusterName"`
		Node    string `json:"nodeId"`
		State   string `json:"state"`
	} `json:"masterKeys"`
}

// isMoving reports whether something changes by itself within minutes: what waits for somebody to give
// a key back does not.
func (c clusterProgress) isMoving() bool {
	switch {
	case c.State == "DELETING":
		return true
	case c.Disabled != nil:
		return c.Counts.Running > c.Counts.Silent // they are being stopped
	case c.Plan != nil || c.Restore != nil || c.State == "CREATING" || c.State == "UPDATING":
		return true
	}
	return !c.Paused && c.Counts.Running+c.Counts.Silent < c.Counts.Total
}

// host is the name of a node, its id if that is all there is.
func (c clusterProgress) host(id string) string {
	for _, n := range c.Nodes {
		if n.ID == id && n.Hostname != "" {
			return n.Hostname
		}
	}
	return id
}

// keyPatience is how long work on a cluster waits for a key before it is taken back.
const keyPatience = 3 * 24 * time.Hour

// patienceEnds is when work gives up that waits for a key; zero if that is not known.
func patienceEnds(since *string) time.Time {
	if since == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, *since)
	if err != nil {
		return time.Time{}
	}
	return at.Add(keyPatience)
}
