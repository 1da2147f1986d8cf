package encryption

import (
	"latchkey/shared/atlas"
)

// applyAWS merges the AWS block. The role wins over user keys that come with it: the
// documents' own example sends both.
func (s Settings) applyAWS(u *atlas.AWSKMSUpdate, p Policy) (*AWS, *Change, error) {
	if u == nil {
		return s.AWS, nil, nil
	}
	what, err := intend(atlas.AWS, s.AWS != nil, u.Enabled,
		sent(u.AccessKeyID, u.CustomerMasterKeyID, u.Region, u.RoleID, u.SecretAccessKey) || asksFor(u.RequirePrivateNetworking, s.AWS != nil))
	switch {
	case err != nil || what == leave:
		return s.AWS, nil, err
	case what == remove:
		return nil, &Change{Provider: atlas.AWS, Kind: Disable, Fields: []string{"enabled"}}, nil
	}
	next := AWS{}
	if s.AWS != nil {
		next = *s.AWS
	}
	m := merger{}
	keyChanged := m.set("customerMasterKeyID", &next.KeyID, u.CustomerMasterKeyID)
	accessChanged := m.set("region", &next.Region, u.Region)
	if keyChanged && s.AWS != nil && s.AWS.isAlso(next.KeyID) {
		keyChanged, accessChanged = false, true // the same key in another region
	}
	m.flag("requirePrivateNetworking", &next.PrivateNetworking, u.RequirePrivateNetworking)
	secret, err := s.mergeAWSAccess(&next, &m, u, p)
	if err != nil {
		return nil, nil, err
	}
	accessChanged = accessChanged || len(m.fields) > 0 && (s.AWS == nil || next.RoleID != s.AWS.RoleID || next.AccessKeyID != s.AWS.AccessKeyID)
	change := m.change(atlas.AWS, s.AWS != nil, keyChanged, accessChanged, secret)
	if change == nil {
		return s.AWS, nil, nil
	}
	return &next, change, next.check(secret)
}

// mergeAWSAccess merges role and user keys and returns a new secret access key, if one counts.
func (s Settings) mergeAWSAccess(next *AWS, m *merger, u *atlas.AWSKMSUpdate, p Policy) (secret string, err error) {
	m.set("roleId", &next.RoleID, u.RoleID)
	if sent(u.RoleID) {
		next.AccessKeyID, next.Secret = "", nil
		return "", nil
	}
	if !sent(u.AccessKeyID, u.SecretAccessKey) {
		return "", nil
	}
	if s.isSwitching(atlas.AWS) {
		return "", atlas.Fail(atlas.AWSCredentialsDeprecated).Hinting(switching)
	}
	if s.roleOnly(atlas.AWS) {
		return "", atlas.Fail(atlas.AWSCredentialsDeprecated).
			Hinting("This project has switched to role-based access, which cannot be undone. Send \"roleId\".")
	}
	if !p.AllowAWSUserKeys {
		return "", atlas.Fail(atlas.AWSCredentialsDeprecated).Hinting("Create an access role and send its \"roleId\".")
	}
	if m.set("accessKeyID", &next.AccessKeyID, u.AccessKeyID) {
		next.Secret = nil // a secret belongs to one access key
	}
	return value(u.SecretAccessKey), nil
}

// check demands a complete configuration whose parts fit together.
func (a AWS) check(secret string) error {
	members := []member{{"customerMasterKeyID", a.KeyID}, {"region", a.Region}}
	switch {
	case a.RoleID != "":
	case a.AccessKeyID == "" && secret == "":
		members = append(members, member{"roleId", ""})
	default:
		members = append(members, member{"accessKeyID", a.AccessKeyID}, member{"secretAccessKey", either(secret, a.Secret)})
	}
	if err := require(members...); err != nil {
		return err
	}
	region, err := atlas.ParseAWSRegion(a.Region)
	if err != nil {
		return err
	}
	name, err := atlas.ParseAWSKeyName(a.KeyID)
	if err != nil {
		return err
	}
	if name.IsARN() && !name.IsMultiRegion() && name.Region != region {
		return atlas.Fail(atlas.AWSKeyNotFound, a.KeyID, a.Region).
			Hinting("Its ARN names the region %s. Only a multi-Region key has replicas in other regions.", name.Region)
	}
	return nil
}
