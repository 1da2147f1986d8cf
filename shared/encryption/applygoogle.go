package encryption

import (
	"latchkey/shared/atlas"
)

// applyGoogle merges the Google block.
func (s Settings) applyGoogle(u *atlas.GoogleCloudKMSUpdate) (*Google, *Change, error) {
	if u == nil {
		return s.Google, nil, nil
	}
	what, err := intend(atlas.GCP, s.Google != nil, u.Enabled, sent(u.KeyVersionResourceID, u.RoleID, u.ServiceAccountKey))
	switch {
	case err != nil || what == leave:
		return s.Google, nil, err
	case what == remove:
		return nil, &Change{Provider: atlas.GCP, Kind: Disable, Fields: []string{"enabled"}}, nil
	}
	next := Google{}
	if s.Google != nil {
		next = *s.Google
	}
	m := merger{}
	keyChanged := m.set("keyVersionResourceID", &next.KeyVersion, u.KeyVersionResourceID)
	accessChanged := m.set("roleId", &next.RoleID, u.RoleID)
	secret := value(u.ServiceAccountKey)
	switch {
	case sent(u.RoleID):
		next.Secret, secret = nil, ""
	case secret != "" && s.isSwitching(atlas.GCP):
		return nil, nil, atlas.Fail(atlas.GoogleCredentialsRefused).Hinting(switching)
	case secret != "" && s.roleOnly(atlas.GCP):
		return nil, nil, atlas.Fail(atlas.GoogleCredentialsRefused).Hinting("This cannot be undone. Send \"roleId\".")
	}
	change := m.change(atlas.GCP, s.Google != nil, keyChanged, accessChanged, secret)
	if change == nil {
		return s.Google, nil, nil
	}
	return &next, change, next.check(secret)
}

// check demands a complete configuration.
func (g Google) check(secret string) error {
	members := []member{{"keyVersionResourceID", g.KeyVersion}}
	if g.RoleID == "" {
		members = append(members, member{"serviceAccountKey", either(secret, g.Secret)})
	}
	if err := require(members...); err != nil {
		return err
	}
	if secret != "" {
		if _, err := atlas.ParseGoogleServiceAccountKey(secret); err != nil {
			return atlas.Fail(atlas.InvalidGoogleCredentials).
				Hinting("serviceAccountKey must be the JSON key file of a service account, as a string.").Because(err)
		}
	}
	if _, err := atlas.ParseGoogleKeyVersion(g.KeyVersion); err != nil {
		return atlas.Fail(atlas.InvalidAttribute, "keyVersionResourceID").
			Hinting("It must have the form projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N.").Because(err)
	}
	return nil
}
