// Package keyring opens customer master keys from references to them, at any provider, and
// keeps the credentials with which they are reached for as long as the process lives.
//
// It is the one place that knows all providers. Its invariant: a credential is used for the
// reference that it was made from and no other.
package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/gcpkms"
	"latchkey/shared/verdict"
)

// Config is Latchkey's own identity in the three clouds. Transport and Now are required; where
// an identity is missing, keys that are reached through it fail with OUR_CREDENTIALS.
type Config struct {
	Transport http.RoundTripper
	Now       func() time.Time
	// AWS assumes tenants' roles, through the STS of AWSRegion ("" is us-east-1).
	AWS       aws.CredentialsProvider
	AWSRegion atlas.AWSRegion
	// AWSCanaryARN is the role of the operator's by which a lost permission of Latchkey's is told
	// from the act of a tenant (awskms.Canary); "" is none, and refusals are tenants' acts.
	AWSCanaryARN string
	// Azure is the multi-tenant application that tenants admit.
	Azure azurekv.App
	// Google impersonates the service accounts that tenants admit. GoogleProjectNumber is the
	// number of the project that holds those, "" if unknown.
	Google              *googleaccount.Identity
	GoogleProjectNumber string
	// Kept is how many sessions are kept for AWS, and credentials for Google; 0 is 131,072. A hundred thousand groups are checked by
	// one process, and a role that is not kept is assumed at every check. Whoever uses few keys at a time, and has
	// little memory, keeps fewer.
	Kept int
}

// kept is how many credentials are kept unless it is said.
const kept = 128 << 10

// azureShare is how many times fewer are kept for Azure. A session at AWS takes 1.1 kB, a credential of Azure's SDK
// forty times that; but a directory, which needs one, has many groups.
const azureShare = 32

// Keyring opens keys. It is safe for concurrent use.
type Keyring struct {
	cfg    Config
	google *gcpkms.Keyring
	canary *awskms.Canary // one for all groups, so that many refusals cost one call

	clients awskms.Clients // of all groups
	aws     cache[*awskms.Session]
	azure   cache[*azurekv.Credential]
}

// New returns a Keyring. It does no I/O; ctx is not kept.
func New(ctx context.Context, cfg Config) (*Keyring, error) {
	if cfg.Kept == 0 {
		cfg.Kept = kept
	}
	google, err := gcpkms.New(ctx, gcpkms.Config{
		Transport: cfg.Transport, Now: cfg.Now, Own: cfg.Google, OwnProjectNumber: cfg.GoogleProjectNumber, Kept: cfg.Kept,
	})
	if err != nil {
		return nil, err
	}
	k := &Keyring{cfg: cfg, google: google}
	k.aws.max, k.azure.max = cfg.Kept, max(1, cfg.Kept/azureShare)
	if cfg.AWSCanaryARN != "" {
		k.canary = awskms.NewCanary(cfg.AWS, cfg.AWSCanaryARN, cfg.Now, awskms.Options{Transport: cfg.Transport, Region: cfg.AWSRegion, Clients: &k.clients})
	}
	return k, nil
}

// Open reaches a key with credentials that may have been used before. It does no I/O. Errors
// are *verdict.Failure.
func (k *Keyring) Open(ref kms.Reference) (*kms.Key, error) { return k.open(ref, false) }

// Renew reaches a key with credentials that nobody has used, which Open uses from then on.
func (k *Keyring) Renew(ref kms.Reference) (*kms.Key, error) { return k.open(ref, true) }

func (k *Keyring) open(ref kms.Reference, renew bool) (*kms.Key, error) {
	switch {
	case ref.AWS != nil:
		return k.openAWS(ref.GroupID, *ref.AWS, renew)
	case ref.Azure != nil:
		return k.openAzure(*ref.Azure, renew)
	case ref.Google != nil && renew:
		return k.google.Renew(*ref.Google)
	case ref.Google != nil:
		return k.google.Open(*ref.Google)
	}
	return nil, verdict.Failed(verdict.Internal, "a reference to no key")
}

func (k *Keyring) openAWS(groupID string, ref kms.AWSReference, renew bool) (*kms.Key, error) {
	region, err := atlas.ParseAWSRegion(ref.Region)
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.RequestInvalid, Err: err}
	}
	name, err := atlas.ParseAWSKeyName(ref.KeyName)
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.RequestInvalid, Err: err}
	}
	if ref.Endpoint != "" && !atlas.ValidAWSEndpoint(ref.Endpoint, region) {
		return nil, verdict.Failed(verdict.Internal, "%q is no VPC endpoint to KMS in %s", ref.Endpoint, region)
	}
	return awskms.Open(k.awsCredential(groupID, ref, renew), region, name), nil
}

// awsOptions are how AWS is reached: KMS through the group's VPC endpoint, if it has one. STS, which
// sees none of the tenant's secrets, is asked at its public address.
func (k *Keyring) awsOptions(endpoint string) awskms.Options {
	o := awskms.Options{Transport: k.cfg.Transport, Region: k.cfg.AWSRegion, Canary: k.canary, Clients: &k.clients}
	if endpoint != "" {
		o.Endpoint = func(service string, _ atlas.AWSRegion) string {
			if service == "kms" {
				return "https://" + endpoint
			}
			return ""
		}
	}
	return o
}

// awsCredential reaches a key as the reference says. Of a role the session is kept, not what else it takes to
// assume it: the reference is at hand again with each use.
func (k *Keyring) awsCredential(groupID string, ref kms.AWSReference, renew bool) *awskms.Credential {
	options := k.awsOptions(ref.Endpoint)
	if ref.RoleARN == "" {
		return awskms.NewUserCredential(ref.AccessKeyID, ref.SecretAccessKey, options)
	}
	session, _ := k.aws.find(renew, func() (*awskms.Session, error) { return &awskms.Session{}, nil }, groupID, ref.RoleARN, ref.ExternalID)
	return session.Credential(k.cfg.AWS, awsRole(groupID, ref), options)
}

func awsRole(groupID string, ref kms.AWSReference) awskms.Role {
	return awskms.Role{ARN: ref.RoleARN, ExternalID: ref.ExternalID, Session: "latchkey-" + groupID}
}

func (k *Keyring) openAzure(ref kms.AzureReference, renew bool) (*kms.Key, error) {
	id, err := atlas.ParseAzureKeyID(ref.KeyIdentifier)
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.RequestInvalid, Err: err}
	}
	credential, err := k.azureCredential(ref, renew)
	if err != nil {
		return nil, err
	}
	return azurekv.Open(credential, id)
}

func (k *Keyring) azureCredential(ref kms.AzureReference, renew bool) (*azurekv.Credential, error) {
	o := azurekv.Options{Environment: atlas.AzureEnvironment(ref.Environment), Transport: k.cfg.Transport, Now: k.cfg.Now}
	if ref.PrivateAddress != "" {
		address, err := netip.ParseAddr(ref.PrivateAddress)
		if err != nil {
			return nil, verdict.Failed(verdict.Internal, "%q is no address of a private endpoint", ref.PrivateAddress)
		}
		o.VaultAddress = address
	}
	return k.azure.find(renew, func() (*azurekv.Credential, error) {
		if ref.ServicePrincipalID != "" {
			return k.cfg.Azure.In(ref.TenantID, o)
		}
		return azurekv.NewSecretCredential(ref.TenantID, ref.ClientID, ref.Secret, o)
	}, ref.Environment, ref.TenantID, ref.ServicePrincipalID, ref.ClientID, ref.Secret, ref.PrivateAddress)
}

// AssumeRole proves that Latchkey can assume a tenant's role. It implements access.AWSVerifier.
func (k *Keyring) AssumeRole(ctx context.Context, groupID, roleARN, externalID string) error {
	role := awsRole(groupID, kms.AWSReference{RoleARN: roleARN, ExternalID: externalID})
	return awskms.NewRoleCredential(k.cfg.AWS, role, k.awsOptions("")).Authenticate(ctx)
}

// ServicePrincipal signs in to a tenant's directory as Latchkey's application and returns the
// object id of its service principal there. It implements access.AzureVerifier.
func (k *Keyring) ServicePrincipal(ctx context.Context, tenantID, _ string) (string, error) {
	credential, err := k.cfg.Azure.In(tenantID, azurekv.Options{Transport: k.cfg.Transport, Now: k.cfg.Now})
	if err != nil {
		return "", err
	}
	return credential.ObjectID(ctx)
}

// CheckVault asks Azure Resource Manager whether the vault of an Azure key is where the
// reference says, with the credentials that reach the key. It implements encryption.Vaults.
func (k *Keyring) CheckVault(ctx context.Context, ref kms.Reference) error {
	if ref.Azure == nil {
		return verdict.Failed(verdict.Internal, "only keys of Azure are in vaults")
	}
	id, err := atlas.ParseAzureKeyID(ref.Azure.KeyIdentifier)
	if err != nil {
		return &verdict.Failure{Reason: verdict.RequestInvalid, Err: err}
	}
	credential, err := k.azureCredential(*ref.Azure, false)
	if err != nil {
		return err
	}
	return credential.CheckVault(ctx, azurekv.Vault{
		SubscriptionID: ref.Azure.SubscriptionID, ResourceGroup: ref.Azure.ResourceGroup, Name: ref.Azure.VaultName,
	}, id)
}

// cache keeps credentials by what they were made from. Only a digest of that is kept.
type cache[C any] struct {
	max int

	mu      sync.Mutex
	entries map[[sha256.Size]byte]C
}

// find returns the credential made from parts, or makes it. renew makes a new one in any case.
func (c *cache[C]) find(renew bool, create func() (C, error), parts ...string) (C, error) {
	id := digest(parts)
	c.mu.Lock()
	defer c.mu.Unlock()
	found, isKept := c.entries[id]
	if isKept && !renew {
		return found, nil
	}
	made, err := create()
	if err != nil {
		return made, err
	}
	if !isKept {
		c.makeRoom()
	}
	c.entries[id] = made
	return made, nil
}

// makeRoom drops a credential if the cache is full. The schedule of checks goes through all of them in turn,
// again and again: whichever was used longest ago will be needed soonest, so any other is as good.
func (c *cache[C]) makeRoom() {
	if c.entries == nil {
		c.entries = map[[sha256.Size]byte]C{}
	}
	for id := range c.entries { // begins anywhere
		if len(c.entries) < c.max {
			return
		}
		delete(c.entries, id)
	}
}

// digest tells lists of parts apart: each follows its length, so that no part can imitate two.
func digest(parts []string) [sha256.Size]byte {
	var joined []byte
	for _, part := range parts {
		joined = binary.AppendUvarint(joined, uint64(len(part)))
		joined = append(joined, part...)
	}
	return sha256.Sum256(joined)
}
