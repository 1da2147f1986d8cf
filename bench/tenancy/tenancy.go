// Package tenancy fills a table with tenants: groups with keys, the roles by which those are reached,
// and nodes whose master keys they wrap.
//
// Its invariant: what it stores is what the suite itself would have stored after months without any
// trouble, so that a check of it finds nothing new.
package tenancy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"golang.org/x/oauth2"

	"latchkey/bench/clouds"
	"latchkey/shared/access"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// Estate is a table full of tenants. Groups have numbers from 0; each is of an organisation, and in an
// account, of its own.
type Estate struct {
	Table *Table
	Now   func() time.Time
	// Regions are those that the groups' keys are in, by turns; at AWS each has a host of its own.
	Regions []atlas.AWSRegion
	// Large is how many of the first groups are of one organisation and in one account.
	Large int
	// Rotated has the groups use another key than the one that wraps their master keys.
	Rotated bool
}

// owner is the group after which the organisation and the account of a group are numbered.
func (e Estate) owner(group int) int {
	if group < e.Large {
		return 0
	}
	return group
}

// GroupID is a group's id.
func (Estate) GroupID(group int) string  { return fmt.Sprintf("65%022x", group) }
func (e Estate) orgID(group int) string  { return fmt.Sprintf("66%022x", e.owner(group)) }
func (e Estate) roleID(group int) string { return fmt.Sprintf("67%022x", group) }

// Account is the number of a group's account at AWS.
func (e Estate) Account(group int) string { return fmt.Sprintf("%012d", e.owner(group)+1) }

// Region is where a group's key is.
func (e Estate) Region(group int) atlas.AWSRegion { return e.Regions[group%len(e.Regions)] }

// KeyPrefix begins the names of the keys that an account has in a region.
func (e Estate) KeyPrefix(region atlas.AWSRegion, account string) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/", region, account)
}

// KeyARN names the key that a group uses.
func (e Estate) KeyARN(group int) string {
	if e.Rotated {
		return e.keyARN(group, 2)
	}
	return e.keyARN(group, 1)
}

func (e Estate) keyARN(group, generation int) string {
	return e.KeyPrefix(e.Region(group), e.Account(group)) + fmt.Sprintf("%08x-1111-4111-8111-%012d", group, generation)
}

// appID is our application at Azure.
const appID = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"

// Keyring reaches the keys of an estate over a transport.
func Keyring(ctx context.Context, c *clouds.Clouds, now func() time.Time) (*keyring.Keyring, error) {
	return keyring.New(ctx, keyring.Config{
		Transport: c, Now: now,
		AWS:    credentials.NewStaticCredentialsProvider("AKIALATCHKEY00000000", "secret", ""),
		Azure:  azurekv.App{ClientID: appID, Secret: "secret"},
		Google: googleaccount.Own(ownIdentity{c}, now),
	})
}

// ownIdentity is our own at Google.
type ownIdentity struct{ clouds *clouds.Clouds }

// Token implements oauth2.TokenSource.
func (i ownIdentity) Token() (*oauth2.Token, error) {
	token, expires := i.clouds.Token()
	return &oauth2.Token{AccessToken: token, Expiry: expires}, nil
}

// Fill stores n groups with keys in AWS KMS. It holds few of them at a time: what measures memory shall find none of it.
func (e Estate) Fill(ctx context.Context, n int) error {
	var ops []store.Op
	for group := range n {
		if len(ops)+2 > store.MaxWrites {
			if err := e.write(ctx, ops); err != nil {
				return err
			}
			ops = ops[:0]
		}
		settings, err := e.Settings(group)
		if err != nil {
			return err
		}
		role, err := store.Encode(keys.Role(settings.GroupID, settings.AWS.RoleID), 0, e.role(group))
		if err != nil {
			return err
		}
		ops = append(ops, store.Put(settings.item), store.Put(role))
	}
	return e.write(ctx, ops)
}

// write writes in as few transactions as it takes.
func (e Estate) write(ctx context.Context, ops []store.Op) error {
	for some := range slices.Chunk(ops, store.MaxWrites) {
		if err := e.Table.Table.Write(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

// Stored are settings and the item that holds them.
type Stored struct {
	encryption.Settings
	item store.Item
}

// Settings are those of a group with a key in AWS KMS, which was found valid and was inspected.
func (e Estate) Settings(group int) (Stored, error) {
	secret := sha256.Sum256([]byte(e.GroupID(group)))
	sum := sha256.Sum256(secret[:])
	since := clouds.AWSCreated()
	settings := encryption.New(e.GroupID(group), e.orgID(group))
	settings.Revision = 1
	settings.AWS = &encryption.AWS{
		KeyID: e.KeyARN(group), Region: e.Region(group).Atlas(), RoleID: e.roleID(group), Role: e.role(group).AWS, Key: encryption.KeyState{
			Revision: 1, Version: e.KeyARN(group), Since: since, Valid: true,
			Verdict: verdict.Verdict{Reason: verdict.OK, Settings: 1, StartedAt: since, Since: since},
			Dates:   kms.Dates{Created: clouds.AWSCreated()},
			Probe: kms.Probe{Digest: sum[:], Sealed: kms.Sealed{Version: e.KeyARN(group), Blob: clouds.SealAWS(
				e.KeyARN(group), map[string]string{"latchkey:group": e.GroupID(group), "latchkey:use": "probe"}, secret[:])}},
		},
	}
	settings.Told = map[atlas.Provider]encryption.Told{atlas.AWS: {Dates: alert.Dates{
		Rotation: alert.Rotation{Provider: atlas.AWS, Name: e.KeyARN(group), Since: since},
	}}}
	item, err := store.Encode(keys.Encryption(settings.GroupID), 0, settings)
	item.Index = keys.Sweep(encryption.Slot(encryption.SweepMinute(settings.GroupID)%encryption.SweepSlots), settings.GroupID)
	return Stored{settings, item}, err
}

func (e Estate) role(group int) access.Role {
	return access.Role{
		ID: e.roleID(group), GroupID: e.GroupID(group), Provider: atlas.AWS, Created: e.Now(),
		AWS: &access.AWSRole{
			ExternalID:   fmt.Sprintf("0d3b1a52-0000-4000-8000-%012x", group),
			ARN:          fmt.Sprintf("arn:aws:iam::%s:role/latchkey-%d", e.Account(group), group),
			AuthorizedAt: e.Now(),
		},
	}
}
