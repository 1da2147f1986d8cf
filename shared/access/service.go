package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/consistency"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// AWSVerifier proves that a role can be assumed. Failures are *verdict.Failure.
type AWSVerifier interface {
	AssumeRole(ctx context.Context, groupID, roleARN, externalID string) error
}

// AzureVerifier signs in to a tenant's directory as an application of ours. It returns the
// object id of our service principal there; failures are *verdict.Failure.
type AzureVerifier interface {
	ServicePrincipal(ctx context.Context, tenantID, appID string) (objectID string, err error)
}

// GoogleAccounts makes and removes service accounts in the operator's own Google project.
// Both are idempotent; failures are *verdict.Failure.
type GoogleAccounts interface {
	// NewEmail invents the address of an account that does not exist yet.
	NewEmail() string
	Create(ctx context.Context, email string) error
	Delete(ctx context.Context, email string) error
}

// Usage tells what a group's roles are used for.
type Usage interface {
	// RolesInUse returns the ids of the roles that the group's encryption settings use, and
	// an operation that fails a transaction if those settings have changed since.
	RolesInUse(ctx context.Context, groupID string) (ids map[string]bool, unchanged store.Op, err error)
	// ProveRole checks that the group's key can still be used if the role, which is in use,
	// changes to this. follow must be in the transaction that changes it: it takes the change over
	// into the settings, and fails if those have changed since.
	ProveRole(ctx context.Context, role Role) (follow store.Op, err error)
	// RoleProved tells that a role was changed after it was proved, of which the proof began at a
	// time: what could not be used without it may be used again.
	RoleProved(ctx context.Context, role Role, began time.Time)
}

// Service is the use case "cloud provider access". A provider whose verifier is nil is not
// supported by this deployment.
type Service struct {
	Table    store.Table
	Journal  audit.Journal
	Usage    Usage
	AWS      AWSVerifier
	Azure    AzureVerifier
	Google   GoogleAccounts
	Patience consistency.Patience
	Now      func() time.Time
	Log      *slog.Logger

	// AWSPrincipalARN is the operator's principal that tenants' trust policies name.
	AWSPrincipalARN string
	// AzureAppID is the operator's multi-tenant application.
	AzureAppID string
}

// API Gateway cuts a request off after 29 seconds, and a client must learn how it ended.
const (
	answerTimeout = 25 * time.Second // of a whole request that waits for grants
	callTimeout   = 10 * time.Second // of one call to a cloud, so that time is left to say that it hangs
)

// ask calls a cloud and gives it up in time.
func ask(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := call(ctx)
	if _, ok := errors.AsType[*verdict.Failure](err); !ok && errors.Is(err, context.DeadlineExceeded) {
		return &verdict.Failure{Reason: verdict.TimedOut, Err: err}
	}
	return err
}

// List reads a group's roles and which of them are in use.
func (s *Service) List(ctx context.Context, groupID string) ([]Role, map[string]bool, error) {
	inUse, _, err := s.Usage.RolesInUse(ctx, groupID)
	if err != nil {
		return nil, nil, err
	}
	items, err := store.All(ctx, s.Table, store.Query{PK: keys.Group(groupID).PK, Prefix: keys.RolePrefix})
	if err != nil {
		return nil, nil, fmt.Errorf("list roles of %s: %w", groupID, err)
	}
	var roles []Role
	for _, item := range items {
		role, err := store.Decode[Role](item)
		if err != nil {
			return nil, nil, err
		}
		if !role.Closing {
			roles = append(roles, role)
		}
	}
	return roles, inUse, nil
}

// Get reads one role and whether it is in use. A Google account whose making was interrupted
// is finished here, which is when its owner asks for it.
func (s *Service) Get(ctx context.Context, groupID, roleID string) (Role, bool, error) {
	inUse, _, err := s.Usage.RolesInUse(ctx, groupID)
	if err != nil {
		return Role{}, false, err
	}
	role, err := Find(ctx, s.Table, groupID, roleID)
	if err != nil {
		return Role{}, false, err
	}
	if role.Google != nil && role.Google.Status == InProgress && s.Google != nil {
		role, err = s.finishGoogle(ctx, role)
	}
	return role, inUse[roleID], err
}

// Identity is who tenants of a cloud let in.
type Identity struct {
	Provider atlas.Provider
	// Name is the principal that trust policies name at AWS, and the application's id at Azure. It is ""
	// at Google, where each role has an account of its own.
	Name string
}

// Identities lists those of the clouds that this deployment supports.
func (s *Service) Identities(ctx context.Context, groupID string) ([]Identity, error) {
	if _, _, err := s.Usage.RolesInUse(ctx, groupID); err != nil { // the group is closed
		return nil, err
	}
	names := map[atlas.Provider]string{atlas.AWS: s.AWSPrincipalARN, atlas.Azure: s.AzureAppID}
	var all []Identity
	for _, p := range atlas.Providers() {
		if s.supports(p) {
			all = append(all, Identity{p, names[p]})
		}
	}
	return all, nil
}

// Create adds a role that is not yet authorized.
func (s *Service) Create(ctx context.Context, c identity.Caller, groupID string, req atlas.CloudProviderAccessRequest) (Role, error) {
	provider, err := s.provider(req)
	if err != nil {
		return Role{}, err
	}
	role, err := s.draft(groupID, provider, req)
	if err != nil {
		return Role{}, err
	}
	if role.Google != nil {
		role.Google.OrgID = c.OrgID
	}
	// The settings item exists as long as the group is open: a role never outlives its group.
	_, open, err := s.Usage.RolesInUse(ctx, groupID)
	if err != nil {
		return Role{}, err
	}
	if err := s.save(ctx, role, audit.By(c), c.OrgID, "ADDED", open); err != nil {
		return Role{}, err
	}
	role.version = 1
	if role.Google != nil {
		return s.finishGoogle(ctx, role)
	}
	return role, nil
}

func (s *Service) provider(req atlas.CloudProviderAccessRequest) (atlas.Provider, error) {
	if req.ProviderName == nil {
		return "", atlas.Fail(atlas.MissingAttribute, "providerName")
	}
	p, err := atlas.ParseProvider(*req.ProviderName)
	if err != nil {
		return "", err
	}
	if !s.supports(p) {
		return "", atlas.Fail(atlas.EARProviderNotSupported, p).
			Hinting("The operator has not set up Latchkey's own identity in that cloud.")
	}
	return p, nil
}

func (s *Service) supports(p atlas.Provider) bool {
	switch p {
	case atlas.AWS:
		return s.AWS != nil
	case atlas.Azure:
		return s.Azure != nil
	case atlas.GCP:
		return s.Google != nil
	}
	return false
}

func (s *Service) draft(groupID string, p atlas.Provider, req atlas.CloudProviderAccessRequest) (Role, error) {
	now := s.Now()
	switch p {
	case atlas.AWS:
		return newAWS(groupID, now), nil
	case atlas.Azure:
		azure, err := s.azure(req, nil)
		return Role{ID: atlas.NewID(now), GroupID: groupID, Provider: p, Created: now.UTC(), Azure: azure}, err
	case atlas.GCP:
		google := &GoogleRole{Email: s.Google.NewEmail(), Status: InProgress}
		return Role{ID: atlas.NewID(now), GroupID: groupID, Provider: p, Created: now.UTC(), Google: google}, nil
	}
	return Role{}, atlas.Fail(atlas.InvalidProvider, p)
}

// azure reads the Azure members of a request over those already stored, if any.
func (s *Service) azure(req atlas.CloudProviderAccessRequest, stored *AzureRole) (*AzureRole, error) {
	role := AzureRole{AppID: s.AzureAppID}
	if stored != nil {
		role = *stored
	}
	role.Updated = s.Now().UTC()
	for _, f := range []struct {
		name string
		from *string
		to   *string
	}{
		{"atlasAzureAppId", req.AtlasAzureAppID, &role.AppID},
		{"servicePrincipalId", req.ServicePrincipalID, &role.ServicePrincipalID},
		{"tenantId", req.TenantID, &role.TenantID},
	} {
		if f.from != nil && *f.from != "" {
			*f.to = *f.from
		}
		if *f.to == "" {
			return nil, atlas.Fail(atlas.MissingAttribute, f.name)
		}
		if !atlas.ValidUUID(*f.to) {
			return nil, atlas.Fail(atlas.InvalidAttribute, f.name).Hinting("It must be a UUID.")
		}
	}
	if !strings.EqualFold(role.AppID, s.AzureAppID) {
		return nil, atlas.Fail(atlas.InvalidAttribute, "atlasAzureAppId").Hinting("This deployment's application is %s.", s.AzureAppID)
	}
	return &role, nil
}

// Authorize verifies a role in the tenant's cloud and stores that it works.
func (s *Service) Authorize(ctx context.Context, c identity.Caller, groupID, roleID string, req atlas.CloudProviderAccessRequest) (Role, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	provider, err := s.provider(req)
	if err != nil {
		return Role{}, false, err
	}
	inUse, unchanged, err := s.Usage.RolesInUse(ctx, groupID)
	if err != nil {
		return Role{}, false, err
	}
	role, err := Find(ctx, s.Table, groupID, roleID)
	if err != nil {
		return Role{}, false, err
	}
	if role.Provider != provider {
		return Role{}, false, atlas.Fail(atlas.RoleNotFound, roleID).Hinting("The role's provider is %s.", role.Provider)
	}
	if role.Google != nil {
		return role, inUse[roleID], nil // nothing to authorize: the tenant grants the account access to the key
	}
	before := role
	if role, err = s.verify(ctx, role, req); err != nil {
		return Role{}, false, err
	}
	claims, err := s.claims(ctx, c.OrgID, before, role)
	if err != nil {
		return Role{}, false, err
	}
	began := s.Now()
	if inUse[roleID] {
		follow, err := s.Usage.ProveRole(ctx, role)
		if err != nil {
			return Role{}, false, err
		}
		follow.Item.Version = unchanged.Item.Version // what changed since the beginning is a conflict, too
		unchanged = follow
	}
	if err := s.save(ctx, role, audit.By(c), c.OrgID, "UPDATED", append(claims, unchanged)...); err != nil {
		return Role{}, false, err
	}
	if inUse[roleID] {
		s.Usage.RoleProved(ctx, role, began)
	}
	return role, inUse[roleID], nil
}

func (s *Service) verify(ctx context.Context, role Role, req atlas.CloudProviderAccessRequest) (Role, error) {
	if role.AWS != nil {
		return s.verifyAWS(ctx, role, req)
	}
	return s.verifyAzure(ctx, role, req)
}

// try asks a cloud until a grant takes effect, as long as patience lasts.
func (s *Service) try(ctx context.Context, call func(context.Context) error) error {
	return s.Patience.Try(ctx, func(ctx context.Context) error { return ask(ctx, call) })
}

func (s *Service) verifyAWS(ctx context.Context, role Role, req atlas.CloudProviderAccessRequest) (Role, error) {
	if req.IAMAssumedRoleARN == nil || *req.IAMAssumedRoleARN == "" {
		return Role{}, atlas.Fail(atlas.MissingAttribute, "iamAssumedRoleArn")
	}
	arn, err := atlas.ParseAWSRole(*req.IAMAssumedRoleARN)
	if err != nil {
		return Role{}, atlas.Fail(atlas.InvalidAttribute, "iamAssumedRoleArn").
			Hinting("It must be the ARN of an IAM role: arn:aws:iam::<account>:role/<name>.").Because(err)
	}
	err = s.try(ctx, func(ctx context.Context) error {
		return s.AWS.AssumeRole(ctx, role.GroupID, arn.String(), role.AWS.ExternalID)
	})
	if err != nil {
		return Role{}, refusal(err, atlas.Fail(atlas.CannotAssumeRole, arn.String()).
			Hinting("Its trust policy must allow sts:AssumeRole to %s with the external ID %s.", s.AWSPrincipalARN, role.AWS.ExternalID))
	}
	if err := s.refusesStrangers(ctx, role, arn.String()); err != nil {
		return Role{}, err
	}
	role.AWS = &AWSRole{ExternalID: role.AWS.ExternalID, ARN: arn.String(), AuthorizedAt: s.Now().UTC()}
	return role, nil
}

// refusesStrangers demands that an AWS role lets Latchkey in with its own external id alone. One that
// takes any could be named by every other tenant, who would then use its keys ("confused deputy"), so
// it is nobody's to use. The role was assumed a moment ago, so whatever refuses now is its trust policy.
func (s *Service) refusesStrangers(ctx context.Context, role Role, arn string) error {
	err := ask(ctx, func(ctx context.Context) error {
		return s.AWS.AssumeRole(ctx, role.GroupID, arn, uuid.NewString())
	})
	if err == nil {
		return atlas.Fail(atlas.CannotAssumeRole, arn).
			Hinting("Its trust policy must demand the external ID %s; it accepts any.", role.AWS.ExternalID)
	}
	failure, ok := errors.AsType[*verdict.Failure](err)
	if !ok || failure.Class() == verdict.Unreachable || failure.Class() == verdict.Throttled {
		return refusal(err, nil)
	}
	return nil
}

func (s *Service) verifyAzure(ctx context.Context, role Role, req atlas.CloudProviderAccessRequest) (Role, error) {
	azure, err := s.azure(req, role.Azure)
	if err != nil {
		return Role{}, err
	}
	var objectID string
	err = s.try(ctx, func(ctx context.Context) error {
		objectID, err = s.Azure.ServicePrincipal(ctx, azure.TenantID, azure.AppID)
		return err
	})
	if err != nil {
		return Role{}, refusal(err, atlas.Fail(atlas.CannotAuthenticateSP, azure.ServicePrincipalID).
			Hinting("Create a service principal for the application %s in the tenant %s.", azure.AppID, azure.TenantID))
	}
	if !strings.EqualFold(objectID, azure.ServicePrincipalID) {
		return Role{}, atlas.Fail(atlas.AzureServicePrincipalInvalid, azure.ServicePrincipalID).
			Hinting("The application's service principal in that tenant has another object ID.")
	}
	azure.AuthorizedAt = s.Now().UTC()
	role.Azure = azure
	return role, nil
}

// refusal turns a failed verification into the client's error: what the tenant must mend is
// denied, what it can't help is 503 or 500.
func refusal(err error, denied *atlas.Error) error {
	failure, ok := errors.AsType[*verdict.Failure](err)
	if !ok {
		return err
	}
	switch failure.Class() {
	case verdict.Invalid:
		return denied.Because(err)
	case verdict.Unreachable, verdict.Throttled:
		e := atlas.Fail(atlas.ServiceUnavailable).Hinting("The cloud provider could not be reached.").Because(err)
		e.RetryAfter = retryAfter
		return e
	case verdict.Valid, verdict.Inconclusive:
	}
	return atlas.Fail(atlas.UnexpectedError).Because(err)
}

// retryAfter is when a client should come back after a provider could not be reached.
const retryAfter = 30 * time.Second

// save stores a role with the event that tells of it and with other operations, one of which
// demands that the settings that use the group's roles are unchanged.
func (s *Service) save(ctx context.Context, role Role, by audit.Actor, orgID, what string, others ...store.Op) error {
	put, err := role.put()
	if err != nil {
		return err
	}
	event, err := s.Journal.Put(roleEvent(s.Now(), role, by, orgID, what))
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, append(others, put, event)...)
}

// roleEvent is ADDED, UPDATED or DELETED for the provider's kind of role (CONTRACT 5.4).
func roleEvent(now time.Time, role Role, by audit.Actor, orgID, what string) audit.Event {
	kind := map[atlas.Provider]string{
		atlas.AWS: "AWS_IAM_ROLE", atlas.Azure: "AZURE_SERVICE_PRINCIPAL", atlas.GCP: "GCP_SERVICE_ACCOUNT",
	}[role.Provider]
	t := audit.Type("CLOUD_PROVIDER_ACCESS_" + kind + "_" + what)
	return audit.New(now, t, by, orgID, role.GroupID).With("roleId", role.ID)
}
