package azurecloud

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// The audiences of applications that are understood here.
const (
	singleTenant = "AzureADMyOrg"
	multiTenant  = "AzureADMultipleOrgs"
)

// secretLife is how long a client secret is valid when no end is asked for: Graph's default.
const secretLife = 2 * 365 * 24 * time.Hour

// application is an app registration; it lives in its home tenant.
type application struct {
	ObjectID string   `json:"objectId"`
	AppID    string   `json:"appId"`
	Tenant   string   `json:"tenant"`
	Name     string   `json:"name"`
	Audience string   `json:"audience"`
	Secrets  []secret `json:"secrets"`
}

// secret is one client secret. Only its digest is kept.
type secret struct {
	KeyID  string    `json:"keyId"`
	Name   string    `json:"name"`
	Hint   string    `json:"hint"`
	Digest []byte    `json:"digest"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
}

// principal is a service principal: an application's presence in one tenant.
type principal struct {
	ObjectID string          `json:"objectId"`
	AppID    string          `json:"appId"`
	Tenant   string          `json:"tenant"`
	Name     string          `json:"name"`
	Presence settling[state] `json:"presence"`
}

// state is what can change about a service principal. Deleted ones stay as tombstones, so
// that a deletion can take effect late too.
type state struct {
	Present bool `json:"present"`
	Enabled bool `json:"enabled"`
}

// Seed is an application that exists from the start.
type Seed struct {
	Tenant string // home tenant
	AppID  string
	Name   string
	Secret string
	// MultiTenant applications can have service principals in other tenants.
	MultiTenant bool
}

// SeedApplication makes sure that an application with its secret and a service principal in
// its home tenant exist, and returns the service principal's object id. It is how Latchkey's
// own application comes to be, whose id its configuration names.
func (c *Cloud) SeedApplication(s Seed) (string, error) {
	if !atlas.ValidUUID(s.Tenant) || !atlas.ValidUUID(s.AppID) || s.Secret == "" {
		return "", errors.New("azurecloud: a seed needs a tenant, an application id and a secret")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tenantID, appID := strings.ToLower(s.Tenant), strings.ToLower(s.AppID)
	if err := c.ensureTenant(tenantID); err != nil {
		return "", err
	}
	app, found, err := c.app(appID)
	if err != nil {
		return "", err
	}
	if !found {
		app = application{ObjectID: newUUID(), AppID: appID, Tenant: tenantID, Name: s.Name, Audience: singleTenant}
	}
	if s.MultiTenant {
		app.Audience = multiTenant
	}
	if err := app.check(s.Secret, c.cfg.Now()); err != nil {
		app.Secrets = append(app.Secrets, newSecret(s.Name, s.Secret, c.cfg.Now(), c.cfg.Now().Add(secretLife)))
	}
	if err := c.cfg.State.Put(kindApp, appID, app); err != nil {
		return "", err
	}
	p, found, err := c.principalOf(tenantID, appID, present)
	if err != nil || found {
		return p.ObjectID, err
	}
	return c.addPrincipal(app, tenantID, c.cfg.Now().Add(-c.cfg.Lag))
}

// addPrincipal stores a new service principal that was made at an instant.
func (c *Cloud) addPrincipal(app application, tenantID string, at time.Time) (string, error) {
	p := principal{ObjectID: newUUID(), AppID: app.AppID, Tenant: tenantID, Name: app.Name}
	p.Presence.set(state{Present: true, Enabled: true}, at, c.cfg.Lag)
	return p.ObjectID, c.cfg.State.Put(kindPrincipal, p.ObjectID, p)
}

func (c *Cloud) app(appID string) (application, bool, error) {
	var app application
	found, err := c.cfg.State.Get(kindApp, strings.ToLower(appID), &app)
	return app, found, err
}

// present tells whether a service principal exists as its administrators see it.
func present(p principal) bool { return p.Presence.Now.Present }

// effective tells whether a service principal exists as the rest of Azure sees it.
func (c *Cloud) effective(p principal) bool { return p.Presence.seen(c.cfg.Now(), c.cfg.Lag).Present }

// principalOf finds an application's service principal in a tenant.
func (c *Cloud) principalOf(tenantID, appID string, exists func(principal) bool) (principal, bool, error) {
	var found principal
	err := c.eachPrincipal(func(p principal) {
		if p.Tenant == tenantID && p.AppID == strings.ToLower(appID) && exists(p) {
			found = p
		}
	})
	return found, found.ObjectID != "", err
}

func (c *Cloud) eachPrincipal(fn func(principal)) error {
	return c.cfg.State.Each(kindPrincipal, func(id string, body []byte) error {
		var p principal
		if err := json.Unmarshal(body, &p); err != nil {
			return fmt.Errorf("azurecloud: service principal %s: %w", id, err)
		}
		fn(p)
		return nil
	})
}

var (
	errWrongSecret   = errors.New("wrong secret")
	errExpiredSecret = errors.New("expired secret")
)

// check holds what a client presented against the secrets.
func (a application) check(presented string, now time.Time) error {
	sum := sha256.Sum256([]byte(presented))
	for _, s := range a.Secrets {
		if subtle.ConstantTimeCompare(s.Digest, sum[:]) != 1 {
			continue
		}
		if now.Before(s.Start) || !now.Before(s.End) {
			return errExpiredSecret
		}
		return nil
	}
	return errWrongSecret
}

func newSecret(name, text string, start, end time.Time) secret {
	sum := sha256.Sum256([]byte(text))
	return secret{KeyID: newUUID(), Name: name, Hint: text[:min(3, len(text))], Digest: sum[:], Start: start, End: end}
}

// newSecretText makes a secret of the length that Entra's have.
func newSecretText() string {
	var b [30]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b[:])
}
