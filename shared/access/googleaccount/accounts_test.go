package googleaccount_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"latchkey/local/pocket"
	"latchkey/local/pocket/googlecloud"
	"latchkey/shared/access"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

const operator = "p-0123456789abcdefghijklmn"

var _ access.GoogleAccounts = (*googleaccount.Accounts)(nil)

// cloud is a pocket Google with an identity of ours that has the given roles in the
// operator's project.
func cloud(t *testing.T, faults *pocket.Faults, roles ...string) (*googleaccount.Identity, http.RoundTripper) {
	t.Helper()
	c := googlecloud.New(googlecloud.Config{State: pocket.Memory(), Now: time.Now, AdminToken: "administrator"})
	rt := pocket.Transport(pocket.New(faults, func(*http.Request) string { return "" }, c))
	admin := func(address, body string) map[string]any {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer administrator")
		resp, err := rt.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", address, resp.StatusCode, answer, err)
		}
		out := map[string]any{}
		if err := json.Unmarshal(answer, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	accounts := "https://iam.googleapis.com/v1/projects/" + operator + "/serviceAccounts"
	made := admin(accounts, `{"accountId":"latchkey"}`)
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(admin(accounts+"/"+fmt.Sprint(made["email"])+"/keys", "")["privateKeyData"]))
	if err != nil {
		t.Fatal(err)
	}
	var bindings []string
	for _, role := range roles {
		bindings = append(bindings, fmt.Sprintf(`{"role":%q,"members":["serviceAccount:%v"]}`, role, made["email"]))
	}
	admin("https://cloudresourcemanager.googleapis.com/v1/projects/"+operator+":setIamPolicy", `{"policy":{"bindings":[`+strings.Join(bindings, ",")+`]}}`)
	key, err := atlas.ParseGoogleServiceAccountKey(string(file))
	if err != nil {
		t.Fatal(err)
	}
	return googleaccount.OwnKey(key, googleaccount.Options{Transport: rt, Now: time.Now, Scope: googleaccount.ScopePlatform}), rt
}

func TestAccountsAreMadeUsedAndRemovedAnyNumberOfTimes(t *testing.T) {
	own, rt := cloud(t, &pocket.Faults{}, "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountTokenCreator")
	accounts, err := googleaccount.NewAccounts(own, operator, rt)
	if err != nil {
		t.Fatal(err)
	}
	email := accounts.NewEmail()
	use := func() error {
		_, err := googleaccount.Impersonate(own, email, options(rt)).Token(t.Context())
		return err
	}
	if err := use(); reasonOf(err) != verdict.OurCredentials {
		t.Errorf("an account that does not exist gives %v", err)
	}
	for range 2 {
		if err := accounts.Create(t.Context(), email); err != nil {
			t.Errorf("create: %v", err)
		}
		if err := use(); err != nil {
			t.Errorf("use: %v", err)
		}
	}
	for range 2 {
		if err := accounts.Delete(t.Context(), email); err != nil {
			t.Errorf("delete: %v", err)
		}
		if err := use(); reasonOf(err) != verdict.OurCredentials {
			t.Errorf("an account that is gone gives %v", err)
		}
	}
}

func TestNewEmailsAreDistinctAndOfTheDocumentedForm(t *testing.T) {
	own := googleaccount.Own(oauth2.StaticTokenSource(&oauth2.Token{}), time.Now)
	accounts, err := googleaccount.NewAccounts(own, operator, nil)
	if err != nil {
		t.Fatal(err)
	}
	form, seen := regexp.MustCompile(`^mongodb-atlas-[0-9a-z]{16}@p-[0-9a-z]{24}.iam.gserviceaccount.com$`), map[string]bool{}
	for range 1000 {
		email := accounts.NewEmail()
		if !form.MatchString(email) || seen[email] {
			t.Fatalf("%s is malformed or was invented before", email)
		}
		seen[email] = true
	}
}

func TestOnlyAccountsOfLatchkeysOwnMakingAreTouched(t *testing.T) {
	own := googleaccount.Own(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "own"}), time.Now)
	rt := google(func(r *http.Request) (int, string) {
		t.Errorf("%s %s was sent", r.Method, r.URL)
		return 200, "{}"
	})
	accounts, err := googleaccount.NewAccounts(own, operator, rt)
	if err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{
		"", "latchkey@" + operator + ".iam.gserviceaccount.com", "mongodb-atlas-0123456789abcdef@tenant-1.iam.gserviceaccount.com",
		"mongodb-atlas-0123456789abcde/@" + operator + ".iam.gserviceaccount.com", "mongodb-atlas-0123456789abcdef@" + operator + ".iam.gserviceaccount.com\n",
	} {
		if reasonOf(accounts.Create(t.Context(), email)) != verdict.Internal || reasonOf(accounts.Delete(t.Context(), email)) != verdict.Internal {
			t.Errorf("%q is taken for an account of ours", email)
		}
	}
	for _, project := range []string{"", "tenant-1", "p-short", "p-0123456789abcdefghijklmn/x"} {
		if _, err := googleaccount.NewAccounts(own, project, rt); err == nil {
			t.Errorf("the project %q is taken", project)
		}
	}
}

func TestFailuresToMakeAnAccountAreOurs(t *testing.T) {
	var faults pocket.Faults
	own, rt := cloud(t, &faults) // without any role
	accounts, err := googleaccount.NewAccounts(own, operator, rt)
	if err != nil {
		t.Fatal(err)
	}
	email := accounts.NewEmail()
	if err := accounts.Create(t.Context(), email); reasonOf(err) != verdict.OurCredentials {
		t.Errorf("without a role: %v", err)
	}
	for kind, want := range map[pocket.FaultKind]verdict.Reason{
		pocket.Deny: verdict.OurCredentials, pocket.Throttle: verdict.RateLimited, pocket.Firewall: verdict.OurCredentials,
		pocket.ServerError: verdict.ProviderError, pocket.Down: verdict.ConnectFailed,
	} {
		faults.Set(pocket.Fault{Host: "iam.googleapis.com", Kind: kind})
		if err := accounts.Create(t.Context(), email); reasonOf(err) != want {
			t.Errorf("%s: create gives %v, want %s", kind, err, want)
		}
		if err := accounts.Delete(t.Context(), email); reasonOf(err) != want {
			t.Errorf("%s: delete gives %v, want %s", kind, err, want)
		}
		faults.Clear()
	}
}
