package atlas

import (
	"slices"
	"strings"
)

// AWSPrincipalKind says what an AWS principal is.
type AWSPrincipalKind string

// The kinds of principal that an ARN can name.
const (
	PrincipalRoot    AWSPrincipalKind = "root" // the account as a whole
	PrincipalUser    AWSPrincipalKind = "user"
	PrincipalRole    AWSPrincipalKind = "role"
	PrincipalSession AWSPrincipalKind = "assumed-role"
)

// AWSPrincipal is an AWS identity. Make one with ParseAWSPrincipal or ParseAWSRole.
type AWSPrincipal struct {
	Partition AWSPartition
	Account   string
	Kind      AWSPrincipalKind
	Path      string // of a user or role: "/" or "/a/b/"
	Name      string // of a user or role; of a session, the role's
	Session   string // a session's name
}

// ParseAWSPrincipal reads the ARN of an account, a user, a role or a session of one. What it
// accepts, String prints unchanged.
func ParseAWSPrincipal(s string) (AWSPrincipal, error) {
	p, why := parsePrincipal(s)
	if why != "" {
		return AWSPrincipal{}, Fail(InvalidAttribute, "ARN").Hinting("%s", why)
	}
	return p, nil
}

// ParseAWSRole reads the ARN of an IAM role, with or without a path.
func ParseAWSRole(s string) (AWSPrincipal, error) {
	p, why := parsePrincipal(s)
	if why == "" && p.Kind != PrincipalRole {
		why = "It must be the ARN of an IAM role."
	}
	if why != "" {
		return AWSPrincipal{}, Fail(InvalidAttribute, "iamAssumedRoleArn").Hinting("%s", why)
	}
	return p, nil
}

func parsePrincipal(s string) (AWSPrincipal, string) {
	if len(s) > maxAWSName {
		return AWSPrincipal{}, "An ARN has at most 2048 characters."
	}
	a, why := splitARN(s)
	if why != "" {
		return AWSPrincipal{}, why
	}
	p := AWSPrincipal{Partition: a.partition, Account: a.account}
	kind, rest, _ := strings.Cut(a.resource, "/")
	switch {
	case a.region != "":
		return AWSPrincipal{}, "The ARN of an identity names no region."
	case a.service == "iam" && a.resource == "root":
		p.Kind = PrincipalRoot
		return p, ""
	case a.service == "iam" && (kind == "user" || kind == "role"):
		return p.withPath(AWSPrincipalKind(kind), rest)
	case a.service == "sts" && kind == "assumed-role":
		return p.withSession(rest)
	}
	return AWSPrincipal{}, "The ARN names no account, user, role or session."
}

// withPath reads "name" or "path/to/name".
func (p AWSPrincipal) withPath(kind AWSPrincipalKind, rest string) (AWSPrincipal, string) {
	cut := strings.LastIndexByte(rest, '/') + 1
	p.Kind, p.Path, p.Name = kind, "/"+rest[:cut], rest[cut:]
	if !validEntity(p.Name) {
		return AWSPrincipal{}, "The ARN's name is not one that IAM gives."
	}
	if p.Path != "/" && !validRolePath(p.Path) {
		return AWSPrincipal{}, "The ARN's path is not one that IAM gives."
	}
	return p, ""
}

func validRolePath(s string) bool {
	return len(s) <= maxRolePath && awsPath().MatchString(s) && !slices.ContainsFunc(strings.Split(s, "/"), isDots)
}

func isDots(s string) bool { return s == "." || s == ".." }

// withSession reads "role-name/session-name".
func (p AWSPrincipal) withSession(rest string) (AWSPrincipal, string) {
	p.Kind = PrincipalSession
	p.Name, p.Session, _ = strings.Cut(rest, "/")
	if !validEntity(p.Name) || !validEntity(p.Session) {
		return AWSPrincipal{}, "The ARN needs the names of a role and of a session."
	}
	return p, ""
}

// String is the ARN.
func (p AWSPrincipal) String() string {
	prefix := "arn:" + string(p.Partition) + ":"
	switch p.Kind {
	case PrincipalRoot:
		return prefix + "iam::" + p.Account + ":root"
	case PrincipalUser, PrincipalRole:
		return prefix + "iam::" + p.Account + ":" + string(p.Kind) + p.Path + p.Name
	case PrincipalSession:
		return prefix + "sts::" + p.Account + ":assumed-role/" + p.Name + "/" + p.Session
	}
	return ""
}
