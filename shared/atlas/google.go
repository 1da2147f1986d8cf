package atlas

import (
	"errors"
	"strconv"
)

// GoogleKeyVersion names one version of a Cloud KMS key, which is how a tenant names its
// Google customer master key.
type GoogleKeyVersion struct {
	Project  string // project id, domain-scoped ("example.com:proj") for old ones
	Location string // "us-east4", "global", "us", "eur4"
	Ring     string
	Key      string
	Version  int64 // 1 or more
}

// ErrGoogleKeyVersion is returned for a string that is not the resource name of a key version.
var ErrGoogleKeyVersion = errors.New(
	"atlas: not a Google key version: want projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N")

// googleProject is the form of a project id: a letter, letters, digits and inner hyphens, at
// most 30, and for domain-scoped projects the domain and a colon before it. Numbers are
// refused although Google accepts them, so that a key has one name.
const googleProject = `(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+:)?` +
	`[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?`

var (
	googleProjectForm    = pattern(`\A` + googleProject + `\z`)
	googleKeyVersionForm = pattern(`\Aprojects/(` + googleProject + `)` +
		`/locations/([a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){0,3})` +
		`/keyRings/([a-zA-Z0-9_-]{1,63})` +
		`/cryptoKeys/([a-zA-Z0-9_-]{1,63})` +
		`/cryptoKeyVersions/([1-9][0-9]{0,17})\z`)
)

// maxGoogleName bounds a resource name before it is matched; the longest valid one is shorter.
const maxGoogleName = 1024

// ParseGoogleKeyVersion parses the resource name of a key version. It accepts exactly what
// String writes, so the result is safe to put into a URL path.
func ParseGoogleKeyVersion(s string) (GoogleKeyVersion, error) {
	if len(s) > maxGoogleName {
		return GoogleKeyVersion{}, ErrGoogleKeyVersion
	}
	m := googleKeyVersionForm().FindStringSubmatch(s)
	if m == nil {
		return GoogleKeyVersion{}, ErrGoogleKeyVersion
	}
	n, err := strconv.ParseInt(m[5], 10, 64)
	if err != nil {
		return GoogleKeyVersion{}, ErrGoogleKeyVersion
	}
	return GoogleKeyVersion{Project: m[1], Location: m[2], Ring: m[3], Key: m[4], Version: n}, nil
}

// String is the resource name of the version.
func (v GoogleKeyVersion) String() string {
	return v.CryptoKey() + "/cryptoKeyVersions/" + strconv.FormatInt(v.Version, 10)
}

// CryptoKey is the resource name of the key that the version belongs to.
func (v GoogleKeyVersion) CryptoKey() string {
	return "projects/" + v.Project + "/locations/" + v.Location + "/keyRings/" + v.Ring + "/cryptoKeys/" + v.Key
}

// ValidGoogleProject reports whether s has the form of a Google Cloud project id.
func ValidGoogleProject(s string) bool {
	return len(s) <= maxGoogleName && googleProjectForm().MatchString(s)
}
