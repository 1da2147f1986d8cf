package digest_test

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	icholy "github.com/icholy/digest"
	mongodb "github.com/mongodb-forks/digest"

	"latchkey/integration/clitest"
	"latchkey/shared/identity/digest"
)

// paths are requests whose URIs clients and servers tend to spell differently.
var paths = []string{
	"/api/atlas/v2/groups/650000000000000000000001/encryptionAtRest",
	"/api/atlas/v2/groups/650000000000000000000001/encryptionAtRest/",
	"/prod/api/atlas/v2/orgs?includeCount=true&pageNum=1&itemsPerPage=100",
	"/api/atlas/v2/groups/byName/my%20project%2Fone",
	"/api/atlas/v2/groups/x/events?eventType=A&eventType=B&minDate=2026-01-01T00%3A00%3A00%2B02%3A00",
}

func TestGoClientsAuthenticate(t *testing.T) {
	t.Parallel()
	clients := map[string]func(password string) http.RoundTripper{
		"mongodb-forks/digest": func(p string) http.RoundTripper { return mongodb.NewTransport(user, p) },
		"icholy/digest":        func(p string) http.RoundTripper { return &icholy.Transport{Username: user, Password: p} },
	}
	challenges := map[string]func(string) string{"MD5": md5Challenge, "SHA-256": sha256Challenge}
	for clientName, transport := range clients {
		for algorithm, challenge := range challenges {
			t.Run(clientName+" "+algorithm, func(t *testing.T) {
				t.Parallel()
				s := server(t, challenge)
				for _, path := range paths {
					if got := status(t, transport(password), s.URL+path); got != http.StatusOK {
						t.Errorf("%s: status %d", path, got)
					}
				}
				if got := status(t, transport("wrong"), s.URL+paths[0]); got != http.StatusUnauthorized {
					t.Errorf("wrong password: status %d", got)
				}
			})
		}
	}
}

func status(t *testing.T, transport http.RoundTripper, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url, strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing to lose
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestCurlAuthenticates(t *testing.T) {
	t.Parallel()
	curl := clitest.Program(t, "curl")
	for name, challenge := range map[string]func(string) string{"MD5": md5Challenge, "SHA-256": sha256Challenge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t, challenge)
			for _, path := range paths {
				out := run(t, curl, "--silent", "--globoff", "--noproxy", "*", "--digest", "--user", user+":"+password,
					"--request", "PATCH", "--data", `{"a":1}`, s.URL+path)
				if out != "welcome" {
					t.Errorf("%s: answered %q", path, out)
				}
			}
			if out := run(t, curl, "--silent", "--noproxy", "*", "--digest", "--user", user+":wrong", s.URL+paths[0]); out != "" {
				t.Errorf("wrong password: answered %q", out)
			}
		})
	}
}

const urllib = `
import sys, urllib.request
url, user, password = sys.argv[1:4]
passwords = urllib.request.HTTPPasswordMgr()
passwords.add_password("` + digest.Realm + `", url, user, password)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPDigestAuthHandler(passwords))
sys.stdout.write(opener.open(url).read().decode())
`

const requests = `
import sys, requests
url, user, password = sys.argv[1:4]
session = requests.Session()
session.trust_env, session.auth = False, requests.auth.HTTPDigestAuth(user, password)
for body in (b'{"a":1}', b'{"a":2}'): # the second repeats the nonce, with another count
    answer = session.patch(url, data=body)
    answer.raise_for_status()
sys.stdout.write(answer.text)
`

func TestPythonAuthenticates(t *testing.T) {
	t.Parallel()
	python := clitest.Program(t, "python3")
	for name, c := range map[string]struct {
		script    string
		challenge func(string) string
	}{
		"urllib MD5": {urllib, md5Challenge}, "requests MD5": {requests, md5Challenge}, "requests SHA-256": {requests, sha256Challenge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t, c.challenge)
			for _, path := range paths {
				if out := run(t, python, "-c", c.script, s.URL+path, user, password); out != "welcome" {
					t.Errorf("%s: answered %q", path, out)
				}
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}
