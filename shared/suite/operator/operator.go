// Package operator is what only the operator of a deployment may do: create organisations and
// give their owners a key, and provide nodes with agents; and the housekeeping that the deployment
// schedules. No route of the API leads here; whoever may invoke the function may do all of it.
//
// Its invariant: a private key or a token is shown once, by the call that makes it. Every operation may be
// repeated until it succeeds.
package operator

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/suite"
)

// Deps are what the function needs. All but EventRetention are required.
type Deps struct {
	Table          store.Table
	Sealer         directory.Sealer
	Now            func() time.Time
	EventRetention time.Duration // 0 keeps events for ever
}

// Function performs the operator's operations.
type Function struct {
	identities *directory.Directory
	projects   *project.Service
	signing    *keyring.Keyring
	fleet      fleet
}

// New assembles the function.
func New(d Deps) *Function {
	journal := audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention}
	identities := &directory.Directory{Table: d.Table, Sealer: d.Sealer, Journal: journal, Now: d.Now}
	return &Function{
		identities: identities,
		projects:   suite.Projects(d.Table, journal, identities, d.Now),
		signing:    &keyring.Keyring{Table: d.Table, Sealer: d.Sealer, Now: d.Now},
		fleet:      newFleet(d),
	}
}

// The operations.
const (
	// CreateOrganization founds an organisation with a first group, a person who owns both, and
	// an API key with the same roles. It is idempotent by the organisation's name.
	CreateOrganization = "createOrganization"
	// CreateOwnerKey makes one more owner's API key, for when the first one was lost.
	CreateOwnerKey = "createOwnerKey"
	// PurgeClosedProjects removes what deleted projects left behind. The deployment schedules it.
	PurgeClosedProjects = "purgeClosedProjects"
	// RotateSigningKeys replaces the keys that nonces and access tokens are signed with. Nobody
	// notices, and repeating it soon does nothing. The deployment schedules it.
	RotateSigningKeys = "rotateSigningKeys"
	// ListWaitingNodes lists the nodes for which no agent has enrolled, by pages: an answer that
	// has a next is continued by sending that as after.
	ListWaitingNodes = "listWaitingNodes"
	// IssueNodeToken makes the one-time token with which an agent enrols for a node within an
	// hour. It takes the place of any token before. An agent that is enrolled stays so until
	// another one uses the token.
	IssueNodeToken = "issueNodeToken"
	// RotateNodeKeys replaces the key that agents seal new master keys to. Nobody notices, and
	// repeating it soon does nothing. The deployment schedules it.
	RotateNodeKeys = "rotateNodeKeys"
)

// operations are all of them.
var operations = []string{
	CreateOrganization, CreateOwnerKey, ListWaitingNodes, IssueNodeToken, PurgeClosedProjects, RotateSigningKeys, RotateNodeKeys,
}

// Request is the event that the function is invoked with.
type Request struct {
	Operation string `json:"operation"`
	// Name, ProjectName and OwnerEmail are for createOrganization; ProjectName may be empty.
	Name        string `json:"name,omitempty"`
	ProjectName string `json:"projectName,omitempty"`
	OwnerEmail  string `json:"ownerEmail,omitempty"`
	// OrgID is required by createOwnerKey. For createOrganization the ids may be chosen.
	OrgID   string `json:"orgId,omitempty"`
	GroupID string `json:"groupId,omitempty"`
	// SkipDefaultAlerts is for createOrganization: its projects begin without alert configurations.
	SkipDefaultAlerts bool `json:"skipDefaultAlertsSettings,omitempty"`
	// PublicKey and PrivateKey may be chosen together.
	PublicKey  string `json:"publicKey,omitempty"`
	PrivateKey string `json:"privateKey,omitempty"`
	// ClusterID and NodeID are required by issueNodeToken.
	ClusterID string `json:"clusterId,omitempty"`
	NodeID    string `json:"nodeId,omitempty"`
	// After continues listWaitingNodes.
	After string `json:"after,omitempty"`
}

// Result is what the function answers.
type Result struct {
	// Created is whether this call made anything.
	Created bool   `json:"created"`
	OrgID   string `json:"orgId,omitempty"`
	GroupID string `json:"groupId,omitempty"`
	OwnerID string `json:"ownerId,omitempty"`
	// PublicKey names the owner's API key; PrivateKey is there only when this call made it.
	PublicKey  string `json:"publicKey,omitempty"`
	PrivateKey string `json:"privateKey,omitempty"`
	// Purged counts the projects whose remains were removed.
	Purged int `json:"purged,omitempty"`
	// Rotated is whether keys were replaced.
	Rotated bool `json:"rotated,omitempty"`
	// Nodes are those that wait for an agent; Next continues the list, "" at its end.
	Nodes []WaitingNode `json:"nodes,omitempty"`
	Next  string        `json:"next,omitempty"`
	// Token is for one agent, until Expires.
	Token   string    `json:"token,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Invoke performs one operation: it is a lambda.Handler. Errors that tell the operator what is
// wrong with the request are *atlas.Error.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var r Request
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, atlas.Fail(atlas.MalformedJSON).Because(err)
	}
	result, err := f.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result) //nolint:gosec // G117: whoever makes a key is shown it, this once
}

// Do performs one operation.
func (f *Function) Do(ctx context.Context, r Request) (Result, error) {
	switch r.Operation {
	case CreateOrganization:
		return f.createOrganization(ctx, r)
	case CreateOwnerKey:
		return f.createOwnerKey(ctx, r)
	case PurgeClosedProjects:
		purged, err := f.projects.PurgeClosed(ctx)
		return Result{Purged: purged}, err
	case RotateSigningKeys:
		rotated, err := f.signing.Rotate(ctx)
		return Result{Rotated: rotated}, err
	case ListWaitingNodes:
		return f.fleet.waiting(ctx, r.After)
	case IssueNodeToken:
		return f.fleet.token(ctx, r)
	case RotateNodeKeys:
		rotated, err := f.fleet.recipients.Rotate(ctx)
		return Result{Rotated: rotated}, err
	}
	return Result{}, atlas.Fail(atlas.InvalidEnumValue, r.Operation).
		Hinting("The operations are %s.", strings.Join(operations, ", "))
}

func (f *Function) createOrganization(ctx context.Context, r Request) (Result, error) {
	if err := checkKeyPair(r); err != nil {
		return Result{}, err
	}
	founded, err := f.projects.Found(ctx, project.Founding{
		Name: r.Name, GroupName: r.ProjectName, OwnerEmail: r.OwnerEmail, OrgID: r.OrgID, GroupID: r.GroupID,
		SkipDefaultAlerts: r.SkipDefaultAlerts,
	})
	if err != nil {
		return Result{}, err
	}
	result := Result{Created: founded.New, OrgID: founded.Org.ID, GroupID: founded.GroupID, OwnerID: founded.Owner.ID}
	return f.ownerKey(ctx, r, result)
}

func (f *Function) createOwnerKey(ctx context.Context, r Request) (Result, error) {
	if err := errors.Join(checkKeyPair(r), f.checkPlace(ctx, r)); err != nil {
		return Result{}, err
	}
	result := Result{OrgID: r.OrgID, GroupID: r.GroupID}
	if r.PublicKey == "" {
		return f.makeKey(ctx, r, result)
	}
	return f.ownerKey(ctx, r, result)
}

// attempts at what another invocation gets in the way of.
const attempts = 5

// ownerKey is the key that an earlier call made for the owner, or a new one: a call that was cut
// short before it made the key is finished by the next, and of two at the same time one makes it.
func (f *Function) ownerKey(ctx context.Context, r Request, result Result) (Result, error) {
	var done Result
	err := store.Again(attempts, func() error {
		existing, err := f.ownersKey(ctx, result.OrgID, r.PublicKey)
		switch {
		case err != nil:
			return err
		case existing == nil:
			done, err = f.makeKey(ctx, r, result)
			return err
		case r.Operation == CreateOwnerKey && !existing.IsOwner():
			return errTaken(r.PublicKey)
		}
		done = result
		done.PublicKey = existing.PublicKey
		return f.samePair(ctx, *existing, r)
	})
	return done, err
}

// checkPlace demands an organisation that exists and, if a group is named, one that is open in it.
func (f *Function) checkPlace(ctx context.Context, r Request) error {
	if _, err := f.projects.FindOrg(ctx, r.OrgID); err != nil || r.GroupID == "" {
		return err
	}
	g, err := f.projects.Open(ctx, r.GroupID)
	if err == nil && g.OrgID != r.OrgID {
		return atlas.Fail(atlas.GroupNotFound, r.GroupID)
	}
	return err
}

// ownerKeyDesc marks the keys that this function makes.
const ownerKeyDesc = "Owner key made by the operator"

// makeKey makes an owner's key, with the role of Project Owner in the group of the result.
func (f *Function) makeKey(ctx context.Context, r Request, result Result) (Result, error) {
	grants := directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}}
	if result.GroupID != "" {
		grants = grants.InGroup(result.GroupID, []identity.Role{identity.GroupOwner})
	}
	key, privateKey, err := f.identities.CreateAPIKey(ctx, audit.System(), directory.NewAPIKey{
		OrgID: result.OrgID, Desc: ownerKeyDesc, Grants: grants, PublicKey: r.PublicKey, PrivateKey: r.PrivateKey,
	})
	if errors.Is(err, store.ErrConflict) && r.PublicKey != "" {
		return Result{}, errTaken(r.PublicKey).Because(err)
	}
	if err != nil {
		return Result{}, err
	}
	result.Created, result.PublicKey, result.PrivateKey = true, key.PublicKey, privateKey
	return result, nil
}

// ownersKey finds the key that an earlier call made: the one with the chosen public key,
// whatever became of its roles, or an owner's that this function made. nil if there is none. A
// chosen public key of another organisation is an error.
func (f *Function) ownersKey(ctx context.Context, orgID, publicKey string) (*directory.APIKey, error) {
	if publicKey != "" {
		key, found, err := f.identities.FindByPublicKey(ctx, publicKey)
		switch {
		case err != nil:
			return nil, fmt.Errorf("find key: %w", err)
		case !found:
			return nil, nil
		case key.OrgID != orgID:
			return nil, errTaken(publicKey)
		}
		return &key, nil
	}
	all, err := f.identities.APIKeys(ctx, orgID)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	for _, key := range all {
		if key.Desc == ownerKeyDesc && key.IsOwner() {
			return &key, nil
		}
	}
	return nil, nil
}

// samePair refuses to pass off an existing key as made from another private key.
func (f *Function) samePair(ctx context.Context, key directory.APIKey, r Request) error {
	if r.PrivateKey == "" {
		return nil
	}
	private, err := f.identities.PrivateKey(ctx, key)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(private), []byte(r.PrivateKey)) != 1 {
		return atlas.Fail(atlas.InvalidAttribute, "privateKey").
			Hinting("The public key %s exists with another private key.", key.PublicKey)
	}
	return nil
}

// minPrivateKey is the least length of a private key that the operator may choose: Digest lets
// whoever overhears a request guess the key at leisure.
const minPrivateKey = 16

func checkKeyPair(r Request) error {
	switch {
	case (r.PublicKey == "") != (r.PrivateKey == ""):
		return atlas.Fail(atlas.InvalidAttribute, "privateKey").Hinting("Choose both keys or neither.")
	case r.PublicKey == "":
		return nil
	case !directory.ValidPublicKey(r.PublicKey):
		return atlas.Fail(atlas.InvalidAttribute, "publicKey").Hinting("It is letters, digits, - and _.")
	case len(r.PrivateKey) < minPrivateKey:
		return atlas.Fail(atlas.InvalidAttribute, "privateKey").Hinting("It needs %d characters or more.", minPrivateKey)
	}
	return nil
}

func errTaken(publicKey string) *atlas.Error {
	return atlas.Fail(atlas.InvalidAttribute, "publicKey").Hinting("The public key %s is taken.", publicKey)
}
