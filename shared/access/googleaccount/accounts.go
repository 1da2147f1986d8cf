package googleaccount

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"latchkey/shared/verdict"
)

// Accounts are the service accounts in the operator's Google project that Latchkey makes, one
// for each role of a group. Tenants grant them access to their keys. Own needs
// roles/iam.serviceAccountAdmin in the project, and to use the accounts
// roles/iam.serviceAccountTokenCreator.
type Accounts struct {
	project string
	client  *client
}

// projectForm makes the addresses of accounts match what clients expect:
// ^mongodb-atlas-[0-9a-z]{16}@p-[0-9a-z]{24}.iam.gserviceaccount.com$ (CONTRACT section 4).
var projectForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\Ap-[0-9a-z]{24}\z`) })

// accountPrefix begins the id of every account.
const accountPrefix = "mongodb-atlas-"

var accountForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\A` + accountPrefix + `[0-9a-z]{16}\z`) })

// NewAccounts returns the accounts of a project, whose id must be "p-" and 24 lower-case
// letters and digits. It does no I/O.
func NewAccounts(own *Identity, project string, transport http.RoundTripper) (*Accounts, error) {
	if !projectForm().MatchString(project) {
		return nil, fmt.Errorf("googleaccount: the project id %q is not \"p-\" and 24 lower-case letters and digits", project)
	}
	return &Accounts{project: project, client: &client{http: httpClient(own.Transport(transport))}}, nil
}

// NewEmail invents the address of an account that does not exist yet: 80 random bits of the
// alphabet [2-7a-z].
func (a *Accounts) NewEmail() string {
	text := strings.ToLower(rand.Text()) // base32, at least 128 bits
	return accountPrefix + text[:16] + a.domain()
}

func (a *Accounts) domain() string { return "@" + a.project + ".iam.gserviceaccount.com" }

// Create makes the account with this address. Making one that exists succeeds. Google may take
// a minute until the account can be granted access or be used.
func (a *Accounts) Create(ctx context.Context, email string) error {
	id, err := a.id(email)
	if err != nil {
		return err
	}
	in := map[string]any{
		"accountId":      id,
		"serviceAccount": map[string]string{"displayName": "Latchkey access to customer keys"},
	}
	err = a.client.call(ctx, http.MethodPost, a.collection(), in, nil)
	if isStatus(err, "ALREADY_EXISTS") {
		return nil
	}
	return err
}

// Delete removes the account. Removing one that does not exist succeeds.
func (a *Accounts) Delete(ctx context.Context, email string) error {
	if _, err := a.id(email); err != nil {
		return err
	}
	err := a.client.call(ctx, http.MethodDelete, a.collection()+"/"+url.PathEscape(email), nil, nil)
	if isStatus(err, "NOT_FOUND") {
		return nil
	}
	return err
}

func (a *Accounts) collection() string {
	return "https://iam.googleapis.com/v1/projects/" + a.project + "/serviceAccounts"
}

// id is the account id in an address. An address that Latchkey did not invent is refused, so
// that no other account of the project can be touched.
func (a *Accounts) id(email string) (string, error) {
	id, ok := strings.CutSuffix(email, a.domain())
	if !ok || !accountForm().MatchString(id) {
		return "", verdict.Failed(verdict.Internal, "googleaccount: %q is not an account of project %s that Latchkey made", email, a.project)
	}
	return id, nil
}
