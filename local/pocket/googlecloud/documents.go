package googlecloud

import (
	"encoding/json"
	"strings"

	"latchkey/local/pocket"
)

// The kinds of document in the state.
const (
	kindAccount = "google-account" // by e-mail
	kindToken   = "google-token"   // by digest of the token
	kindPolicy  = "google-policy"  // by resource name
	kindProject = "google-project" // by project id
	kindRing    = "google-keyring" // by resource name
	kindKey     = "google-cryptokey"
)

// documents reads typed documents.
type documents struct{ pocket.State }

// list decodes the documents of a kind whose id starts with prefix.
func list[T any](d documents, kind, prefix string) ([]T, error) {
	var all []T
	err := d.Each(kind, func(id string, body []byte) error {
		if !strings.HasPrefix(id, prefix) {
			return nil
		}
		var v T
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		all = append(all, v)
		return nil
	})
	return all, err
}
