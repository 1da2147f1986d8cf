package identityapi

import (
	"fmt"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
)

// Bounds of what clients may choose (CONTRACT 7.3 and 7.4). The real service's bounds of a
// secret's life are its organisation settings maxServiceAccountSecretValidityInHours, 8 hours
// to a year.
const (
	maxText     = 250
	maxName     = 64
	minSecret   = 8
	maxSecret   = 8760
	maxRoleList = 50 // more than there are roles
)

// plainText is compiled when it is first needed, as few requests do: a function should not wait for it to start.
var plainText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\p{L}\p{N}\-_.,' ]*$`) })

// checkOrgRoles refuses roles that are none in an organisation.
func checkOrgRoles(orgID string, roles []identity.Role) error {
	for _, role := range roles[:min(len(roles), maxRoleList)] {
		if identity.IsGroupRole(role) {
			return atlas.Fail(atlas.InvalidRoleForOrg, role, orgID)
		}
		if !identity.IsOrgRole(role) {
			return atlas.Fail(atlas.InvalidEnumValue, role)
		}
	}
	return checkCount(roles)
}

// checkGroupRoles refuses roles that are none in a group.
func checkGroupRoles(groupID string, roles []identity.Role) error {
	for _, role := range roles[:min(len(roles), maxRoleList)] {
		if identity.IsOrgRole(role) {
			return atlas.Fail(atlas.InvalidRoleForGroup, role, groupID)
		}
		if !identity.IsGroupRole(role) {
			return atlas.Fail(atlas.InvalidEnumValue, role)
		}
	}
	return checkCount(roles)
}

func checkCount(roles []identity.Role) error {
	if len(roles) > maxRoleList {
		return atlas.Fail(atlas.InvalidAttribute, "roles")
	}
	return nil
}

// checkRoles refuses roles that do not fit the place that the path names.
func checkRoles(orgID, groupID string, roles []identity.Role) error {
	if groupID != "" {
		return checkGroupRoles(groupID, roles)
	}
	return checkOrgRoles(orgID, roles)
}

// checkDesc checks an API key's description.
func checkDesc(desc string) error {
	if desc == "" {
		return atlas.Fail(atlas.APIKeyRequiresDescription)
	}
	if utf8.RuneCountInString(desc) > maxText {
		return atlas.Fail(atlas.InvalidAttribute, "desc").Hinting("It may have %d characters.", maxText)
	}
	return nil
}

// faults collects what is wrong with the members of a body.
type faults []atlas.FieldError

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, atlas.FieldError{Field: field, Description: fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	return &atlas.Error{Code: atlas.ValidationError, Fields: *f}
}

// text checks a name or description of a service account; nil is unset.
func (f *faults) text(field string, value *string, most int) {
	switch {
	case value == nil:
	case *value == "" || utf8.RuneCountInString(*value) > most:
		f.add(field, "size must be between 1 and %d", most)
	case !plainText().MatchString(*value):
		f.add(field, "must match \"%s\"", plainText())
	}
}

func (f *faults) required(field string, set bool) {
	if !set {
		f.add(field, "must not be null")
	}
}

// secretLife checks for how long a secret shall live.
func (f *faults) secretLife(hours *int) time.Duration {
	f.required("secretExpiresAfterHours", hours != nil)
	if hours == nil {
		return 0
	}
	if *hours < minSecret || *hours > maxSecret {
		f.add("secretExpiresAfterHours", "must be between %d and %d", minSecret, maxSecret)
	}
	return time.Duration(*hours) * time.Hour
}

func (f *faults) roles(roles *[]identity.Role) {
	if roles != nil && len(*roles) == 0 {
		f.add("roles", "must not be empty")
	}
}
