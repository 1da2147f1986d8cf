package encryption

import (
	"slices"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/seal"
)

// Policy is what the operator decides for the whole deployment.
type Policy struct {
	// AllowAWSUserKeys accepts a user's access key for groups that never used a role. Without
	// it they get AWS_KMS_CREDENTIALS_AUTH_DEPRECATED, as from the real service today.
	AllowAWSUserKeys bool
}

// Kind is what an update does to a provider.
type Kind int

// The kinds of change.
const (
	Enable Kind = iota + 1
	Modify
	Disable
)

// Change is what an update does to one provider.
type Change struct {
	Provider atlas.Provider
	Kind     Kind
	// KeyChanged: another key than before is named. AccessChanged: the key is reached in
	// another way (role, credentials, region). Neither, for a change that needs no validation.
	KeyChanged, AccessChanged bool
	// Secret is the new static secret in the clear; "" keeps the stored one.
	Secret string
	// Fields names what changed, for the event.
	Fields []string
}

// validates reports whether the change has to be proved at the provider.
func (c Change) validates() bool {
	return c.Kind == Enable || c.Kind == Modify && (c.KeyChanged || c.AccessChanged)
}

// Apply merges an update into the settings (CONTRACT 3.3). It is pure: secrets are not yet
// sealed, keys not yet validated. An update that changes nothing yields no changes and the
// settings as they are. The error is for the client.
func (s Settings) Apply(u atlas.EncryptionAtRestUpdate, p Policy) (Settings, []Change, error) {
	if u.AWSKMS == nil && u.AzureKeyVault == nil && u.GoogleCloudKMS == nil && u.EnabledForSearchNodes == nil {
		return s, nil, atlas.Fail(atlas.MissingEARProvider)
	}
	next := s.clone()
	if u.EnabledForSearchNodes != nil {
		next.SearchNodes = *u.EnabledForSearchNodes
	}
	var changes []Change
	collect := func(c *Change, err error) error {
		if c != nil && err == nil {
			changes = append(changes, *c)
		}
		return err
	}
	var change *Change
	var err error
	next.AWS, change, err = s.applyAWS(u.AWSKMS, p)
	if err := collect(change, err); err != nil {
		return s, nil, err
	}
	next.Azure, change, err = s.applyAzure(u.AzureKeyVault)
	if err := collect(change, err); err != nil {
		return s, nil, err
	}
	next.Google, change, err = s.applyGoogle(u.GoogleCloudKMS)
	if err := collect(change, err); err != nil {
		return s, nil, err
	}
	for _, provider := range atlas.Providers() {
		if next.RoleID(provider) != "" && !next.roleOnly(provider) && !s.isSwitching(provider) {
			next.RoleOnly = append(next.RoleOnly, provider)
		}
	}
	return next, changes, nil
}

func (s Settings) roleOnly(p atlas.Provider) bool { return slices.Contains(s.RoleOnly, p) }

// isSwitching reports whether a switch to role-based access is under way, which is not final yet.
func (s Settings) isSwitching(p atlas.Provider) bool { return s.RoleID(p) != "" && !s.roleOnly(p) }

// switching says why static credentials are refused meanwhile.
const switching = "A switch to role-based access is under way. It cannot be undone once it is finished; " +
	"if a key does not open through the role, the former credentials come back."

// intent is what the enabled member of a block asks for, given whether the provider is enabled.
type intent int

const (
	leave intent = iota
	remove
	merge
)

// intend reads a block's enabled member. A block of nothing changes nothing; enabled:false
// removes the configuration, whatever else is sent with it, since clients send GET's answer
// back with that one member changed; and a provider that is off is not half configured.
func intend(p atlas.Provider, isEnabled bool, enabled *bool, sent bool) (intent, error) {
	switch {
	case enabled != nil && !*enabled && isEnabled:
		return remove, nil
	case enabled != nil && !*enabled, enabled == nil && !sent:
		return leave, nil
	case enabled == nil && !isEnabled:
		return leave, atlas.Fail(atlas.CannotRotateDisabled, string(p)).Hinting("Send \"enabled\": true with the whole configuration.")
	}
	return merge, nil
}

// merger copies the members that a client sent over the stored ones and notes what changed.
type merger struct {
	fields []string
}

// set stores a string member that was sent and reports whether it changed. The empty string
// counts as not sent.
func (m *merger) set(name string, to *string, from *string) bool {
	if from == nil || *from == "" || *from == *to {
		return false
	}
	*to = *from
	m.fields = append(m.fields, name)
	return true
}

// flag stores a boolean member that was sent.
func (m *merger) flag(name string, to *bool, from *bool) {
	if from != nil && *from != *to {
		*to = *from
		m.fields = append(m.fields, name)
	}
}

// change describes the merge; nil if nothing changed.
func (m *merger) change(p atlas.Provider, isEnabled, keyChanged, accessChanged bool, secret string) *Change {
	if isEnabled && len(m.fields) == 0 && secret == "" {
		return nil
	}
	kind := Modify
	if !isEnabled {
		kind = Enable
	}
	return &Change{
		Provider: p, Kind: kind, KeyChanged: keyChanged, AccessChanged: accessChanged || secret != "",
		Secret: secret, Fields: m.fields,
	}
}

// member is a required member of a configuration.
type member struct{ name, value string }

// require demands members and names all that are missing.
func require(members ...member) error {
	var missing []string
	for _, m := range members {
		if m.value == "" {
			missing = append(missing, m.name)
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return atlas.Fail(atlas.MissingAttribute, missing[0])
	}
	return atlas.Fail(atlas.MissingAttributes, strings.Join(missing, ", "))
}

// asksFor reports whether a flag that was sent asks for anything. Of a provider that is off,
// false does not: clients send it along with enabled:false.
func asksFor(flag *bool, isEnabled bool) bool { return flag != nil && (*flag || isEnabled) }

// sent reports whether any of the members was sent with a value.
func sent(members ...*string) bool {
	return slices.ContainsFunc(members, func(m *string) bool { return m != nil && *m != "" })
}

// either is a secret that is new or already stored, to see that there is one.
func either(secret string, stored seal.Sealed) string {
	if secret == "" {
		return string(stored)
	}
	return secret
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
