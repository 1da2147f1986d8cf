package stack

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/google/uuid"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/shared/suite/operator"
)

// Owner is the first API key, with the organisation and the group that it owns. It is kept in
// the pocket clouds' state, because the suite on one machine prints it at every start.
type Owner struct {
	OrgID      string `json:"orgId"`
	GroupID    string `json:"groupId"`
	PublicKey  string `json:"publicKey"`
	PrivateKey string `json:"privateKey"`
}

// EnsureOwner creates the organisation, the group and the key at the first start, through the
// function that an operator invokes. chosen are the ids and keys that the user wants, if any;
// other than those of an earlier start they are refused.
func EnsureOwner(ctx context.Context, state pocket.State, operatorFunction lambdasvc.Invoker, chosen Owner) (Owner, error) {
	const kind, id = "local", "owner"
	var kept Owner
	found, err := state.Get(kind, id, &kept)
	if err != nil {
		return Owner{}, err
	}
	if found && kept.OrgID != "" {
		return kept, kept.checkChosen(chosen)
	}
	if !found { // the key is kept before it exists, so that a crash can't lose it
		kept = chosen
		kept.PublicKey, kept.PrivateKey = cmp.Or(chosen.PublicKey, letters(8)), cmp.Or(chosen.PrivateKey, uuid.NewString())
		if err := state.Put(kind, id, Owner{PublicKey: kept.PublicKey, PrivateKey: kept.PrivateKey}); err != nil {
			return Owner{}, err
		}
	}
	payload, err := json.Marshal(operator.Request{ //nolint:gosec // G117: the function is told the key that was kept before it exists
		Operation: operator.CreateOrganization, Name: "Latchkey", ProjectName: "Project 0", OwnerEmail: "owner@example.com",
		OrgID: chosen.OrgID, GroupID: chosen.GroupID, PublicKey: kept.PublicKey, PrivateKey: kept.PrivateKey,
	})
	if err != nil {
		return Owner{}, err
	}
	answer, err := operatorFunction.Invoke(ctx, payload)
	if err != nil {
		return Owner{}, fmt.Errorf("create the first organization: %w", err)
	}
	var made operator.Result
	if err := json.Unmarshal(answer, &made); err != nil {
		return Owner{}, err
	}
	kept.OrgID, kept.GroupID = made.OrgID, made.GroupID
	return kept, state.Put(kind, id, kept)
}

// checkChosen refuses choices that come too late.
func (o Owner) checkChosen(chosen Owner) error {
	for _, c := range []struct{ name, kept, chosen string }{
		{"LATCHKEY_ORG_ID", o.OrgID, chosen.OrgID},
		{"LATCHKEY_GROUP_ID", o.GroupID, chosen.GroupID},
		{"LATCHKEY_PUBLIC_KEY", o.PublicKey, chosen.PublicKey},
		{"LATCHKEY_PRIVATE_KEY", o.PrivateKey, chosen.PrivateKey},
	} {
		if c.chosen != "" && c.chosen != c.kept {
			return fmt.Errorf("%s differs from what the data folder was made with; unset it, or choose another folder with -data", c.name)
		}
	}
	return nil
}

// letters are n random lower-case letters, as a public key has.
func letters(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	for range n {
		i, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(errors.Join(errors.New("no randomness"), err)) // never fails since Go 1.24
		}
		b.WriteByte(alphabet[i.Int64()])
	}
	return b.String()
}
