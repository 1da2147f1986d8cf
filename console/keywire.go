package console

import (
	"net/url"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// keyReport is what /api/latchkey/v1 tells of a provider's keys.
type keyReport struct {
	Provider atlas.Provider `json:"cloudProvider"`
	InUse    *keyInUse      `json:"keyInUse"`
	Change   *keyChange     `json:"lastChange"`
	Former   []formerKey    `json:"formerKeys"`
}

// requiresPrivate reports whether private networking is required.
func (r keyReport) requiresPrivate() bool { return r.InUse != nil && r.InUse.Private.Required }

// isInvalid reports whether the last check found that the key cannot be used.
func (r keyReport) isInvalid() bool { return r.InUse != nil && r.InUse.Status.Class == verdict.Invalid }

// keyInUse is the key of a provider that is on.
type keyInUse struct {
	Key     string    `json:"key"`
	Version string    `json:"version"`
	Since   string    `json:"since"`
	Nodes   int       `json:"nodes"`
	Status  keyStatus `json:"status"`
	Private struct {
		Required bool `json:"required"`
		InForce  bool `json:"inForce"`
	} `json:"privateNetworking"`
}

// keyStatus is what the last check of a key found. A validation answers the same, with the provider.
type keyStatus struct {
	Provider     atlas.Provider `json:"provider"`
	Valid        bool           `json:"valid"`
	Class        verdict.Class  `json:"class"`
	Reason       verdict.Reason `json:"reason"`
	Since        string         `json:"since"`
	CheckedAt    string         `json:"checkedAt"`
	ProviderCode *string        `json:"providerCode"`
	RequestID    *string        `json:"providerRequestId"`
}

// keyChange is the last change of a key, or of the way to it.
type keyChange struct {
	Kind         string  `json:"kind"`
	State        string  `json:"state"`
	BeganAt      string  `json:"beganAt"`
	EndedAt      *string `json:"endedAt"`
	Proved       int     `json:"wrappedKeysProved"`
	Lost         int     `json:"wrappedKeysLost"`
	Left         int     `json:"nodesLeft"`
	BlockedSince *string `json:"blockedSince"`
	Reason       *string `json:"reason"`
	Remaining    *struct {
		WaitsFor    *string       `json:"waitsFor"`
		Nodes       int           `json:"nodes"`
		WrappedKeys int           `json:"wrappedKeys"`
		Awaited     []awaitedNode `json:"awaitedNodes"`
	} `json:"remaining"`
}

// awaitedNode is a node that has still to do its part of a change.
type awaitedNode struct {
	Cluster string `json:"clusterName"`
	Node    string `json:"nodeId"`
	Silent  bool   `json:"silent"`
	Failed  bool   `json:"failed"`
}

// formerKey is a key that must be kept until nothing needs it.
type formerKey struct {
	Key       string   `json:"key"`
	Version   string   `json:"version"`
	Nodes     []string `json:"nodeIds"`
	Snapshots []string `json:"snapshotIds"`
	Until     *string  `json:"lastSnapshotExpiresAt"`
}

// keyUser is a cluster, for whether it uses a provider's key.
type keyUser struct {
	Name     string `json:"name"`
	Provider string `json:"encryptionAtRestProvider"`
	Disabled *struct {
		Provider atlas.Provider `json:"cloudProvider"`
	} `json:"disabled"`
	Plan *struct {
		From *string `json:"fromProvider"`
		To   string  `json:"toProvider"`
	} `json:"plan"`
}

// uses reports whether nodes of the cluster have, or may have, data under a provider's key.
func (c keyUser) uses(p atlas.Provider) bool {
	name := string(p)
	return c.Provider == name || c.Plan != nil && (c.Plan.To == name || text(c.Plan.From) == name)
}

func (c keyUser) stoppedBy(p atlas.Provider) bool {
	return c.Disabled != nil && c.Disabled.Provider == p
}

// wholeList asks for as much of a list as there is in one page.
func wholeList() url.Values { return url.Values{"itemsPerPage": {"500"}} }

// keyReports reads how the keys of the project stand.
func (v *Visit) keyReports() (map[atlas.Provider]keyReport, error) {
	var page atlas.Page[keyReport]
	err := v.API.Get(v.Context(), v.OwnGroup("encryptionAtRest", "keys"), wholeList(), &page)
	byProvider := map[atlas.Provider]keyReport{}
	for _, r := range page.Results {
		byProvider[r.Provider] = r
	}
	return byProvider, err
}

// keyUsers reads the clusters of the project.
func (v *Visit) keyUsers() ([]keyUser, error) {
	var page atlas.Page[keyUser]
	err := v.API.Get(v.Context(), v.OwnGroup("clusters"), wholeList(), &page)
	return page.Results, err
}

// settings reads the configuration.
func (v *Visit) settings() (atlas.EncryptionAtRest, error) {
	var s atlas.EncryptionAtRest
	err := v.API.Get(v.Context(), v.Group("encryptionAtRest"), nil, &s)
	return s, err
}

// accessRoles reads the access roles.
func (v *Visit) accessRoles() (atlas.CloudProviderAccess, error) {
	var all atlas.CloudProviderAccess
	err := v.API.Get(v.Context(), v.Group("cloudProviderAccess"), nil, &all)
	return all, err
}

// isOn reports whether a provider is configured.
func isOn(s atlas.EncryptionAtRest, p atlas.Provider) bool {
	switch p {
	case atlas.AWS:
		return s.AWSKMS.Enabled
	case atlas.Azure:
		return s.AzureKeyVault.Enabled
	case atlas.GCP:
		return s.GoogleCloudKMS.Enabled
	}
	return false
}

// block is the name of a provider's member in the configuration.
func block(p atlas.Provider) string {
	return map[atlas.Provider]string{atlas.AWS: "awsKms", atlas.Azure: "azureKeyVault", atlas.GCP: "googleCloudKms"}[p]
}

// keyValues are the members of a provider's configuration, as they are shown and sent.
func keyValues(s atlas.EncryptionAtRest, p atlas.Provider) map[string]string {
	switch p {
	case atlas.AWS:
		a := s.AWSKMS
		return map[string]string{
			"customerMasterKeyID": text(a.CustomerMasterKeyID), "region": regionOption(text(a.Region)),
			"roleId": text(a.RoleID), "accessKeyID": text(a.AccessKeyID),
		}
	case atlas.Azure:
		a := s.AzureKeyVault
		ends := text(a.SecretExpiresAt)
		return map[string]string{
			"azureEnvironment": or(text(a.AzureEnvironment), string(atlas.AzurePublic)), "subscriptionID": text(a.SubscriptionID),
			"resourceGroupName": text(a.ResourceGroupName), "keyVaultName": text(a.KeyVaultName), "keyIdentifier": text(a.KeyIdentifier),
			"tenantID": text(a.TenantID), "clientID": text(a.ClientID), "roleId": text(a.RoleID), "secretExpiresAt": ends[:min(len(ends), len("2006-01-02"))],
		}
	case atlas.GCP:
		return map[string]string{
			"keyVersionResourceID": text(s.GoogleCloudKMS.KeyVersionResourceID), "roleId": text(s.GoogleCloudKMS.RoleID),
		}
	}
	return nil
}

// regionOption is a region as the API's enum spells it, whatever spelling was stored.
func regionOption(stored string) string {
	if r, err := atlas.ParseAWSRegion(stored); err == nil {
		return r.Atlas()
	}
	return stored
}
