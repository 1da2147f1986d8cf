package console

import (
	"cmp"
	"net/url"
	"slices"

	"latchkey/shared/atlas"
)

// overviewView is the page of a project: how its keys, its clusters and its alerts are.
type overviewView struct {
	GroupID    string
	Providers  []providerState
	Clusters   []stateCount
	Total      int
	Alerts     int
	Working    bool // something is on its way to another state, or could not be read
	NoAlerts   bool // they cannot be read
	NoClusters bool // nor can these
}

// providerState is how a provider of key management is.
type providerState struct {
	Name  string
	Badge Badge
	Key   string // "" while it is off
}

// stateCount is how many clusters are in a state.
type stateCount struct {
	Badge Badge
	Count int
}

func loadOverview(v *Visit) (any, error) {
	var settings atlas.EncryptionAtRest
	var clusters atlas.Page[atlas.Cluster]
	var progress atlas.Page[clusterProgress]
	var alerts atlas.Page[struct{}]
	var alertsAway, clustersAway bool
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("encryptionAtRest"), nil, &settings) },
		Optional(&clustersAway, func() error {
			return Together(
				func() error {
					return v.API.Get(v.Context(), v.Group("clusters"), url.Values{"itemsPerPage": {maxClusters}}, &clusters)
				},
				func() error {
					return v.API.Get(v.Context(), v.OwnGroup("clusters"), url.Values{"itemsPerPage": {maxClusters}}, &progress)
				},
			)
		}),
		Optional(&alertsAway, func() error {
			return v.API.Get(v.Context(), v.Group("alerts"), url.Values{"status": {"OPEN"}, "itemsPerPage": {"1"}}, &alerts)
		}),
	)
	if err != nil {
		return nil, err
	}
	view := overviewView{GroupID: v.GroupID(), Providers: providersOf(settings), NoAlerts: alertsAway, NoClusters: clustersAway}
	view.Clusters, view.Working = byState(clusters.Results, progress.Results)
	view.Working = view.Working || alertsAway || clustersAway
	for _, n := range []struct {
		total *int
		into  *int
	}{{clusters.TotalCount, &view.Total}, {alerts.TotalCount, &view.Alerts}} {
		if n.total != nil {
			*n.into = *n.total
		}
	}
	return view, nil
}

func providersOf(s atlas.EncryptionAtRest) []providerState {
	return []providerState{
		{ProviderName(atlas.AWS), KeyBadge(s.AWSKMS.Enabled, s.AWSKMS.Valid), text(s.AWSKMS.CustomerMasterKeyID)},
		{ProviderName(atlas.Azure), KeyBadge(s.AzureKeyVault.Enabled, s.AzureKeyVault.Valid), text(s.AzureKeyVault.KeyIdentifier)},
		{ProviderName(atlas.GCP), KeyBadge(s.GoogleCloudKMS.Enabled, s.GoogleCloudKMS.Valid), text(s.GoogleCloudKMS.KeyVersionResourceID)},
	}
}

// KeyBadge is how a provider's key is.
func KeyBadge(enabled, valid bool) Badge {
	switch {
	case !enabled:
		return Badge{Neutral, "Off"}
	case !valid:
		return Badge{Bad, "Not valid"}
	}
	return Badge{Good, "Valid"}
}

// ClusterBadge is a state of a cluster in words.
func ClusterBadge(state string, paused bool) Badge {
	switch {
	case paused:
		return Badge{Neutral, "Paused"}
	case state == "IDLE":
		return Badge{Good, "Ready"}
	case state == "CREATING":
		return Badge{Busy, "Being created"}
	case state == "UPDATING":
		return Badge{Busy, "Being changed"}
	case state == "DELETING":
		return Badge{Busy, "Being deleted"}
	case state == "REPAIRING":
		return Badge{Warning, "Being repaired"}
	}
	return Badge{Neutral, state}
}

func byState(clusters []atlas.Cluster, progress []clusterProgress) (counts []stateCount, working bool) {
	standing := map[string]clusterProgress{}
	for _, p := range progress {
		standing[p.ID] = p
		working = working || p.isMoving()
	}
	found := map[Badge]int{}
	for _, c := range clusters {
		badge := clusterBadge(c, standing[c.ID])
		found[badge]++
		working = working || badge.Tone != Good && badge.Tone != Neutral
	}
	for badge, n := range found {
		counts = append(counts, stateCount{badge, n})
	}
	slices.SortFunc(counts, func(a, b stateCount) int { return cmp.Compare(a.Badge.Text, b.Badge.Text) })
	return counts, working
}
