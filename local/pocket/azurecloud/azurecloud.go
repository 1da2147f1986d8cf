// Package azurecloud is a pocket Azure: Entra ID's token endpoint, the parts of Microsoft
// Graph and Azure Resource Manager with which a tenant admits Latchkey to its key vault, and
// the keys of Key Vault, in all three environments. The official SDK's clients and a person
// with curl can talk to it.
//
// Its one invariant: permissions, key states, tenants and firewalls are obeyed as the real
// services obey them, so that what Latchkey concludes here it would conclude there. Imported
// by local/ and by tests.
package azurecloud

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// TenantHeader chooses the tenant that an administrator's request to Graph or Resource
// Manager is about, as `az login --tenant` does. Naming a tenant creates it.
const TenantHeader = "X-Pocket-Tenant"

// Config says how a Cloud is run. State, Now, AdminToken and Tenant are required.
type Config struct {
	State pocket.State
	Now   func() time.Time
	// AdminToken is the bearer token of an administrator of every tenant: what
	// `az account get-access-token` would print.
	AdminToken string
	// Tenant is the tenant meant by administrators' requests without a TenantHeader.
	Tenant string
	// Lag is how late role assignments, access policies and service principals take effect.
	Lag time.Duration
	// EndpointDelay is asked how long a private endpoint takes to be provisioned, and to go. nil is
	// 20 seconds.
	EndpointDelay func() time.Duration
	// EndpointQuota is how many private endpoints a subscription may have; 0 is no limit.
	EndpointQuota int
	// GenerateKey makes the RSA keys of vaults; nil is rsa.GenerateKey. Tests reuse keys.
	GenerateKey func(bits int) (*rsa.PrivateKey, error)
}

// Cloud is one pocket Azure. It is safe for concurrent use.
type Cloud struct {
	cfg    Config
	signer ed25519.PrivateKey

	mu      sync.Mutex // serialises every change and the reads that precede it
	parsed  map[string]*rsa.PrivateKey
	parseMu sync.Mutex
}

// The kinds of document in the state.
const (
	kindSigner     = "azure-signer"
	kindTenant     = "azure-tenant"
	kindApp        = "azure-application"
	kindPrincipal  = "azure-service-principal"
	kindVault      = "azure-vault"
	kindAssignment = "azure-role-assignment"
	kindKey        = "azure-key"
	kindEndpoint   = "azure-private-endpoint"
)

// New opens the cloud that is kept in cfg.State.
func New(cfg Config) (*Cloud, error) {
	if cfg.State == nil || cfg.Now == nil || cfg.AdminToken == "" {
		return nil, errors.New("azurecloud: State, Now and AdminToken are required")
	}
	if !atlas.ValidUUID(cfg.Tenant) {
		return nil, fmt.Errorf("azurecloud: tenant %q is no UUID", cfg.Tenant)
	}
	if cfg.GenerateKey == nil {
		cfg.GenerateKey = func(bits int) (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, bits) }
	}
	c := &Cloud{cfg: cfg, parsed: map[string]*rsa.PrivateKey{}}
	if err := c.openSigner(); err != nil {
		return nil, err
	}
	return c, c.ensureTenant(cfg.Tenant)
}

// Services are the cloud's services, for pocket.New.
func (c *Cloud) Services() []pocket.Service {
	return []pocket.Service{loginService{c}, graphService{c}, armService{c}, vaultService{c}}
}

func (c *Cloud) openSigner() error {
	var seed []byte
	found, err := c.cfg.State.Get(kindSigner, "ed25519", &seed)
	if err != nil {
		return err
	}
	if !found {
		seed = make([]byte, ed25519.SeedSize)
		rand.Read(seed) // never fails since Go 1.24
		if err := c.cfg.State.Put(kindSigner, "ed25519", seed); err != nil {
			return err
		}
	}
	c.signer = ed25519.NewKeyFromSeed(seed)
	return nil
}

// tenant is a directory.
type tenant struct {
	ID string `json:"id"`
}

func (c *Cloud) ensureTenant(id string) error {
	id = strings.ToLower(id)
	found, err := c.cfg.State.Get(kindTenant, id, &tenant{})
	if err != nil || found {
		return err
	}
	return c.cfg.State.Put(kindTenant, id, tenant{ID: id})
}

func (c *Cloud) tenantExists(id string) (bool, error) {
	return c.cfg.State.Get(kindTenant, strings.ToLower(id), &tenant{})
}

// isAdmin reports whether the request carries the administrator's token.
func (c *Cloud) isAdmin(r *http.Request) bool {
	token, ok := bearer(r)
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(c.cfg.AdminToken)) == 1
}

// adminTenant is the tenant that an administrator's request is about.
func (c *Cloud) adminTenant(r *http.Request) (string, error) {
	id := r.Header.Get(TenantHeader)
	if id == "" {
		return strings.ToLower(c.cfg.Tenant), nil
	}
	if !atlas.ValidUUID(id) {
		return "", fmt.Errorf("%s %q is no UUID", TenantHeader, id)
	}
	return strings.ToLower(id), c.ensureTenant(id)
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}

// settling is a value that others see only some time after it was changed.
type settling[T any] struct {
	Now     T         `json:"now"`
	Before  T         `json:"before"`
	Changed time.Time `json:"changed"`
}

// seen is the value in effect at an instant.
func (s settling[T]) seen(at time.Time, lag time.Duration) T {
	if at.Before(s.Changed.Add(lag)) {
		return s.Before
	}
	return s.Now
}

func (s *settling[T]) set(v T, at time.Time, lag time.Duration) {
	s.Before, s.Now, s.Changed = s.seen(at, lag), v, at
}

// newUUID returns a random UUID (version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newVersion returns 32 random hexadecimal digits, as key versions are named.
func newVersion() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// environmentOf finds the environment one of whose hosts, chosen by pick, is host.
func environmentOf(host string, pick func(atlas.AzureEnvironment) string) (atlas.AzureEnvironment, bool) {
	for _, env := range atlas.AzureEnvironments() {
		if pick(env) == host {
			return env, true
		}
	}
	return "", false
}
