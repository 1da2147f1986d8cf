package directory

import (
	"maps"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/identity/token"
	"latchkey/shared/store"
)

// MaxSecrets is how many secrets a service account may have: two, so that one can be replaced
// while the other is in use.
const MaxSecrets = 2

// maxRevoked bounds the list of revoked tokens on an account's record.
const maxRevoked = 500

// ServiceAccount is a service account. Values are never changed in place: every method that
// changes something returns a new account.
type ServiceAccount struct {
	Grants

	ClientID    string    `json:"clientId"`
	OrgID       string    `json:"orgId"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Created     time.Time `json:"created"`
	Secrets     []Secret  `json:"secrets"`
	// Revoked are the ids of revoked tokens with the time at which they end by themselves.
	Revoked map[string]time.Time `json:"revoked,omitempty"`
	// RevokedBefore revokes every token that was issued before it.
	RevokedBefore time.Time `json:"revokedBefore,omitzero"`

	at pair
}

// Caller is who a request with one of the account's tokens comes from.
func (a ServiceAccount) Caller() identity.Caller {
	return identity.Caller{
		Kind: identity.KindServiceAccount, ID: a.ClientID, Name: a.ClientID, OrgID: a.OrgID,
		OrgRoles: a.OrgRoles, GroupRoles: a.GroupRoles,
	}
}

func (a ServiceAccount) portrait() portrait {
	p := portrait{
		id: a.ClientID, name: a.Name, orgID: a.OrgID, description: a.Name + "\x00" + a.Description, grants: a.Grants,
	}
	for _, s := range a.Secrets {
		p.secrets = append(p.secrets, s.ID)
	}
	return p
}

// put stores the account and its listing, which has no need of hashes and revocations.
func (a ServiceAccount) put() ([]store.Op, error) {
	listing := a
	listing.Revoked, listing.RevokedBefore = nil, time.Time{}
	listing.Secrets = slices.Clone(a.Secrets)
	for i := range listing.Secrets {
		listing.Secrets[i].Hash = nil
	}
	return a.at.put(a, listing)
}

// WithSecret returns the account with one more secret. Secrets that have expired make room.
func (a ServiceAccount) WithSecret(s Secret, now time.Time) (ServiceAccount, error) {
	kept := slices.Clone(a.Secrets)
	if len(kept) >= MaxSecrets {
		kept = slices.DeleteFunc(kept, func(old Secret) bool { return !now.Before(old.Expires) })
	}
	if len(kept) >= MaxSecrets {
		return a, atlas.Fail(atlas.MaxSecretsReached, MaxSecrets)
	}
	a.Secrets = append(kept, s)
	return a, nil
}

// WithoutSecret returns the account without a secret. The tokens that were issued for it end
// with it.
func (a ServiceAccount) WithoutSecret(id string) (ServiceAccount, error) {
	kept := slices.DeleteFunc(slices.Clone(a.Secrets), func(s Secret) bool { return s.ID == id })
	if len(kept) == len(a.Secrets) {
		return a, atlas.Fail(atlas.ServiceAccountSecretNotFound, id)
	}
	a.Secrets = kept
	return a, nil
}

// Prove finds the secret that value is. ok is false if there is none or it has expired. Every
// secret is compared, so that the time tells nothing.
func (a ServiceAccount) Prove(value string, now time.Time) (proved Secret, ok bool) {
	for _, s := range a.Secrets {
		if s.proves(value, now) {
			proved, ok = s, true
		}
	}
	return proved, ok
}

// Used returns the account with the secret's last use noted, and whether that is worth a
// write: it is to the hour, so that a busy client costs one write in an hour.
func (a ServiceAccount) Used(secretID string, now time.Time) (ServiceAccount, bool) {
	i := slices.IndexFunc(a.Secrets, func(s Secret) bool { return s.ID == secretID })
	if i < 0 || a.Secrets[i].LastUsed != nil && now.Sub(*a.Secrets[i].LastUsed) < time.Hour {
		return a, false
	}
	a.Secrets = slices.Clone(a.Secrets)
	at := now.UTC()
	a.Secrets[i].LastUsed = &at
	return a, true
}

// Accepts reports whether a valid token of the account still counts: it was not revoked, and
// the secret that it was issued for is still there.
func (a ServiceAccount) Accepts(t token.Token) bool {
	_, revoked := a.Revoked[t.ID]
	return t.ClientID == a.ClientID && !revoked && !t.Issued.Before(a.RevokedBefore) &&
		slices.ContainsFunc(a.Secrets, func(s Secret) bool { return s.ID == t.SecretID })
}

// WithRevoked returns the account with a token revoked, and whether that changes anything.
// Tokens that ended by themselves are forgotten. Should the list still be full, every token
// issued so far is revoked instead: clients fetch a new one, and no revocation is lost.
func (a ServiceAccount) WithRevoked(t token.Token, now time.Time) (ServiceAccount, bool) {
	if !a.Accepts(t) {
		return a, false
	}
	revoked := map[string]time.Time{t.ID: t.Expires}
	maps.Copy(revoked, a.Revoked)
	maps.DeleteFunc(revoked, func(_ string, expires time.Time) bool { return !now.Before(expires) })
	a.Revoked = revoked
	if len(revoked) > maxRevoked {
		a.Revoked, a.RevokedBefore = nil, now.UTC().Truncate(time.Second).Add(time.Second)
	}
	return a, true
}
